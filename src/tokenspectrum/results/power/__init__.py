"""What the scores of this preset could show: how Avg varies, what would be detected, and honest intervals.

The variance of one replicate's Avg has four parts.  The seed: what a training moves on all problems alike, base policy
included.  The problem: what another draw of problems would change.  Seed by problem: what a training moves on one
problem alone.  The sample: what another draw of responses would change.  They are told apart by the analysis of
variance of the scores, of each method and of its difference from the reference.

The paired t-test runs over replicates on the same problems.  So its standard deviation has the parts of the seed, of
seed by problem and of the sample, and not of the problem.  With S seeds, f times as many problems and K samples,

    sd^2 = seed + (seed by problem + sample / K) / f

of one paired difference.  The smallest difference that the test finds follows from the noncentral t distribution.

Scores are those that table 1 averages: of the last `analysis.table1.last_checkpoints` of a training run.  A problem's
sample k is drawn under the same seed at each, so its value is its mean over them, and K counts the samples of one.

An interval of accuracy on a benchmark takes its problems for independent draws.  A mean over a problem's samples varies
less than a coin with the same chance (Hoeffding 1956), so the exact binomial interval (Clopper and Pearson, scipy) is
on the safe side at 30 problems too.  Beside it stands a bootstrap interval over problems (BCa, scipy).
"""

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.results.benchmarks import BenchmarkNames
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.options import AskedOfTable1


class PowerParams(Frozen):
    """`results/power`: the designs that are asked for.  Level, power and reference are those of `analysis.table1`."""

    seeds: tuple[int, ...] = Field(default=(3, 5, 8, 16), min_length=1, description="numbers of replicates")
    problems: tuple[int, ...] = Field(
        default=(1, 4), min_length=1, description="how many times the present problems of each benchmark"
    )
    samples: tuple[int, ...] = Field(default=(8, 32), min_length=1, description="numbers of samples a problem")
    effects: tuple[float, ...] = Field(
        default=(1.0, 2.0, 3.0), min_length=1, description="differences of Avg, points, for which seeds are counted"
    )
    most: int = Field(default=200, ge=3, description="the most seeds that are counted up to; beyond, it is left empty")


RESULT = Result(
    __name__,
    title="power",
    question="What effect could these scores have shown, and what would it take to show 1, 2 or 3 points?",
    reads=("evaluate", "evaluate_base"),
    columns=(
        Column("what", str, "variance, detectable, needed, paper or interval"),
        Column("method", str, "the method; base is the base policy"),
        Column("against", str, "of a difference: the method that is subtracted"),
        Column("metric", str, "Avg, or a benchmark (stand-ins are marked)"),
        Column("component", str, "of a variance: seed, problem, seed x problem, sample, or all"),
        Column("n", int, "replicates that were measured"),
        Column("bases", int, "base policies that they train"),
        Column("seeds", int, "replicates of the design; empty of needed: more than the most that are counted"),
        Column("problems", int, "problems of the design, of all benchmarks that the metric holds"),
        Column("samples", int, "samples a problem of the design"),
        Column("effect", float, "of needed: the true difference, points; of paper: the published one"),
        Column("sd", float, "of a variance: its square root, points; of a design: of one paired difference"),
        Column("percent", float, "of a variance: its share of the variance of one replicate's value"),
        Column("mdd", float, "smallest true difference found with the given power, points"),
        Column("shown", str, "of paper: yes if its effect is at least the mdd of the replicates here, else no"),
        Column("mean", float, "of an interval: accuracy, percent, mean over replicates"),
        Column("low", float, "exact binomial interval over problems, lower end"),
        Column("high", float, "the same, upper end"),
        Column("boot_low", float, "bootstrap interval over problems, lower end; empty where all problems are equal"),
        Column("boot_high", float, "the same, upper end"),
    ),
    params=PowerParams,
    others={"analysis.table1": AskedOfTable1, "prompts.benchmarks": BenchmarkNames},
    overturned="Parts of the variance that differ much between methods: then one design does not serve all of them.",
)
