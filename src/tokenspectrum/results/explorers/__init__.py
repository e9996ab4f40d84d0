"""Training on a subset alone, run by run: did it collapse, in which of three ways, and how did the others do?

A run is judged by the mean of a window of steps, with the numbers of `analysis.table1.collapse`.  Short responses: at
the end the length is below `length_below` times that of the first window.  Length instability: in some window it is
above `length_above` times that.  Late degeneration: at the end the reward is more than `reward_drop` below that of the
best window.  A run has the first of the three that holds.  So a run that table 1 counts as collapsed is counted here,
and beside it one that recovered its length, or that lost what it had gained.

The runs are the replicates, and those of `extra_runs` that are of these methods.

Survivors are the runs that did not collapse.  Their accuracy is compared with full-token training under the same
seeds, where that was run.  The share of collapsed runs has an exact binomial interval.
"""

from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field, model_validator

from tokenspectrum.params.base import Frozen
from tokenspectrum.results.benchmarks import BenchmarkNames
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.outcome.declare import AskedOfTable1, missing_methods


class ExplorersParams(Frozen):
    """`results/explorers`: the methods whose runs are judged."""

    methods: tuple[str, ...] = Field(
        default=("full", "explorer20"), min_length=2, description="the methods that are judged, and the reference"
    )
    reference: str = Field(default="full", description="the method that survivors are compared with, one of methods")
    smooth: int = Field(default=5, ge=1, description="steps of the trailing mean that is drawn")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.reference not in self.methods:
            raise ValueError(f"reference {self.reference} is not in methods; add it there")
        return self


def lacks(params: Any) -> Iterator[str]:
    """The methods that its options name."""
    yield from missing_methods(params.analysis.explorers, params, "analysis.explorers")


RESULT = Result(
    __name__,
    title="explorers alone",
    question="Does training on explorers alone collapse, in which way, and how do the survivors do?",
    reads=("evaluate", "evaluate_more", "evaluate_base", "metrics", "metrics_more"),
    columns=(
        Column("what", str, "run, collapse, group or curve"),
        Column("method", str, "the method"),
        Column("group", str, "all, survivors or collapsed; empty for a single run"),
        Column("seed", int, "of a run and of its curve: the replicate's seed"),
        Column("base", int, "the same: its base policy"),
        Column("mode", str, "of a run: none, short responses, length instability or late degeneration"),
        Column("since", int, "of a collapsed run: the last step of the first window that shows it"),
        Column("metric", str, "Avg, hardest, without_hardest; of a curve: reward or length"),
        Column("of", str, "of an accuracy: the benchmarks that it is the mean of"),
        Column("step", int, "of a curve: the training step"),
        Column("n", int, "replicates"),
        Column("bases", int, "base policies that they train"),
        Column("mean", float, "accuracy in percent, reward, or tokens; of collapse: collapsed runs in percent"),
        Column("sd", float, "standard deviation over replicates"),
        Column("low", float, "lowest replicate; of collapse: exact binomial interval, lower end"),
        Column("high", float, "highest replicate; of collapse: the same, upper end"),
        Column("collapsed", int, "runs that collapsed"),
        Column("against", str, "the method that it is compared with, under the same replicates"),
        Column("pairs", int, "replicates that the method was run under too, over which the next columns are"),
        Column("against_mean", float, "what that method came to there"),
        Column("difference", float, "mean less that, points"),
        Column("ci_low", float, "t interval of the difference over replicates, lower end"),
        Column("ci_high", float, "the same, upper end"),
        Column("p", float, "two-sided p-value of the paired t-test, not adjusted"),
        Column("p_flip", float, "exact two-sided p-value of the sign-flip test"),
    ),
    params=ExplorersParams,
    others={"analysis.table1": AskedOfTable1, "prompts.benchmarks": BenchmarkNames},
    figure=True,
    lacks=lacks,
    overturned="No run that collapses among many, or full-token runs that collapse as often.",
)
