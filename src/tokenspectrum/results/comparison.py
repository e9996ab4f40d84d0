"""A method's Avg against another's, over shared replicates.  Knows scores; the arithmetic is `statistics`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tokenspectrum.params.replicates import Replicate
from tokenspectrum.results import statistics
from tokenspectrum.results.measured import Scores
from tokenspectrum.results.options import ComparisonParams

# A bootstrap of fewer replicates gives an interval that is known to be too narrow: it is left blank.
FEW = 6
# Points.  Sums of the same accuracies in another order differ by less.
NOTHING = 1e-9
# Standard errors over problems.  A difference that is nearer to 0 has no sign: other problems might turn it.
NOISE = 2.0


@dataclass(frozen=True)
class Comparison:
    """A difference from another method, before Holm.  All None where there is nothing to compare.

    `by_base` is the mean difference on each base policy, and `noise` its standard error over problems: what other
    problems of the same kind would change, None where a benchmark has one problem.  Of one replicate nothing else is
    known.
    """

    against: str | None = None
    difference: float | None = None
    test: statistics.PairedTest | None = None
    flip: float | None = None
    mdd: float | None = None
    interval: tuple[float, float] | None = None
    by_base: dict[int, float] | None = None
    noise: dict[int, float | None] | None = None
    parts: statistics.Parts = statistics.UNKNOWN

    @property
    def above(self) -> int | None:
        """On how many base policies the difference is above 0."""
        return None if self.by_base is None else sum(sign_of(d) > 0 for d in self.by_base.values())

    @property
    def sign(self) -> str | None:
        """`same`, `differs` or `unclear` between base policies; None where there are not two, or no difference is.

        A difference within NOISE standard errors of 0 has no sign, nor has one whose standard error is not known.
        `differs`: one base policy has it above 0 and another below.  `unclear`: neither that, nor the same sign on all.
        """
        if self.by_base is None or self.noise is None or len(self.by_base) < 2:
            return None
        if all(abs(d) <= NOTHING for d in self.by_base.values()):
            return None
        return sign_between(sign_of(d, self.noise[base]) for base, d in self.by_base.items())


def sign_of(difference: float, noise: float | None = 0.0) -> int:
    """1 or -1; 0 of a difference that rounding or the choice of problems explains.

    `noise` is its standard error; where that is not known (None), the choice of problems may explain any difference.
    """
    if noise is None:
        return 0
    least = max(NOTHING, NOISE * noise)
    return (difference > least) - (difference < -least)


def sign_between(signs: Iterable[int]) -> str:
    """`same`, `differs` or `unclear`, of the signs on several base policies."""
    found = set(signs)
    return "differs" if {1, -1} <= found else "same" if len(found) == 1 and 0 not in found else "unclear"


def compare(
    scores: Scores,
    run: str,
    against: str,
    replicates: Sequence[Replicate],
    params: ComparisonParams,
    benchmarks: Sequence[str] | None = None,
) -> Comparison:
    """Paired comparison of two runs over `replicates`, in Avg of `benchmarks` (None: all of them), points.

    Blank where the runs are the same, or the other one was not run.
    """
    seeds = [replicate.seed for replicate in replicates]
    if run == against or not seeds or (against, seeds[0]) not in scores.accuracy:
        return Comparison()
    names = list(scores.accuracy[run, seeds[0]]) if benchmarks is None else list(benchmarks)
    a_R, b_R = averages(scores, run, seeds, names), averages(scores, against, seeds, names)
    d_R = [a - b for a, b in zip(a_R, b_R, strict=True)]
    bases = [replicate.base for replicate in replicates]
    means = {base: float(np.mean([d for d, b in zip(d_R, bases, strict=True) if b == base])) for base in bases}
    on = {base: [s for s, b in zip(seeds, bases, strict=True) if b == base] for base in bases}
    noise = {base: error_over_problems(scores, run, against, of_base, names) for base, of_base in on.items()}
    confidence = 1 - params.alpha
    test = statistics.paired_t(a_R, b_R, confidence)
    interval = None
    if len(seeds) >= FEW:
        problems = {
            name: 100 * np.stack([scores.accuracy[run, s][name] - scores.accuracy[against, s][name] for s in seeds])
            for name in names
        }
        interval = statistics.bootstrap_interval(problems, params.bootstrap.draws, params.bootstrap.seed, confidence)
    return Comparison(
        against=against,
        difference=float(np.mean(a_R) - np.mean(b_R)),
        test=test,
        flip=statistics.sign_flip(d_R),
        mdd=statistics.minimum_detectable_difference(test.sd, test.n, params.power, params.alpha) if test else None,
        interval=interval,
        by_base=means,
        noise=noise,
        parts=statistics.parts(d_R, bases),
    )


def error_over_problems(
    scores: Scores, run: str, against: str, seeds: Sequence[int], names: Sequence[str]
) -> float | None:
    """Standard error of the difference of Avg, mean over `seeds`, over the choice of problems, points.

    Seeds answer the same problems, so a problem's difference is its mean over them.  Differences are paired by problem,
    and benchmarks are independent: the root of sum(var / problems) / benchmarks.  None where a benchmark has one
    problem: what another one would change is not known.
    """
    d_BP = [
        np.mean([scores.accuracy[run, seed][name] - scores.accuracy[against, seed][name] for seed in seeds], axis=0)
        for name in names
    ]
    if any(len(d_P) < 2 for d_P in d_BP):
        return None
    variances = [float(np.var(d_P, ddof=1)) / len(d_P) for d_P in d_BP]
    return 100 * float(np.sqrt(sum(variances))) / len(names)


def averages(scores: Scores, run: str, seeds: Sequence[int], benchmarks: Sequence[str] | None = None) -> list[float]:
    """Avg of each replicate, percent: the arithmetic mean of the benchmarks' accuracies (None: of all)."""
    of = [scores.accuracy[run, s] for s in seeds]
    return [100 * float(np.mean([x[name].mean() for name in (benchmarks or x)])) for x in of]
