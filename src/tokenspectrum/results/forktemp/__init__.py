"""Accuracy of the base policy when forks are decoded at another temperature, and when all other tokens are.

A fork is a token whose entropy is above a quantile of the probe's (`hot_forks.quantile`).  It is decoded at T' and
every other token at 1; or the reverse.  Accuracy is a mean over samples, problems, and benchmarks.  All settings draw
the same random numbers, so settings are compared problem by problem.  Intervals resample the problems of a benchmark.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.results.declare import Column, Result


class ForktempParams(Frozen):
    """`results/forktemp`: its intervals."""

    draws: int = Field(default=1000, ge=100, description="resamples of problems")
    seed: int = Field(default=0, ge=0, description="of the resampling")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="intervals cover 1 - alpha")


def lacks(params: Any) -> Iterator[str]:
    """The samples, which `hot_forks` asks for."""
    if params.hot_forks is None:
        yield "hot_forks is null, so nothing was decoded at other temperatures; give it temperatures"


RESULT = Result(
    __name__,
    title="heat at forks",
    question="Does a higher temperature at forks help, and a lower one hurt, more than at the other tokens?",
    reads=("hot_forks",),
    columns=(
        Column("base", int, "base policy"),
        Column("heated", str, "forks, others, or forks less others: the difference at the same temperature"),
        Column("temperature", float, "T' of the heated tokens; the rest are decoded at 1"),
        Column("threshold", float, "predictive entropy above which a token is a fork, nats"),
        Column("accuracy", float, "percent, mean over samples, problems and benchmarks; of a difference, points"),
        Column("ci_low", float, "percentile interval over resampled problems, lower end"),
        Column("ci_high", float, "the same, upper end"),
        Column("gain", float, "accuracy less that at T' = 1, points; empty if that was not run"),
        Column("gain_low", float, "interval of it, lower end"),
        Column("gain_high", float, "the same, upper end"),
        Column("length", float, "mean response length, tokens; empty for a difference"),
        Column("problems", int, "problems of all benchmarks"),
        Column("samples", int, "samples a problem"),
    ),
    params=ForktempParams,
    figure=True,
    lacks=lacks,
    resources={"mem_mb": 4000, "runtime": 30},
    overturned="Heat and cold that act alike at forks and elsewhere.",
)
