"""Accuracy of every method on every benchmark, tested against full-token training; the published figures stand apart.

Accuracy is mean@k in percent: the mean over exactly k samples of a problem, then over problems, then over replicates.
Avg is the arithmetic mean of the benchmarks.  A replicate is a base policy and a training seed.  Each method is
compared with the reference by a two-sided paired t-test over shared replicates, and pairs of methods with each other.
The p-values are adjusted by Holm's method over all tested rows.  Beside them stands the exact p-value of a sign-flip
test, and whether the difference has the same sign on every base policy.  From six replicates on, a hierarchical
bootstrap over replicates and problems gives a second interval.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from tokenspectrum.results.benchmarks import BenchmarkNames
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.options import CollapseParams, ComparisonParams


class Table1Params(ComparisonParams):
    """`results/table1`: its rows' labels, the reference that they are tested against, and the rules that it states."""

    survivors: tuple[str, ...] = Field(
        default=(),
        description="methods that get a second row if something collapsed: of the replicates that did not",
    )
    collapse: CollapseParams = CollapseParams()
    about_zero: float = Field(
        default=1.0,
        ge=0,
        le=100,
        description="if no row's Avg exceeds this (percent), the table says that accuracy is about zero",
    )


def disagrees(params: Any) -> Iterator[str]:
    """Survivors are methods that have a rule; the collapse rule's windows fit into a run."""
    own = params.analysis.table1
    for method in own.survivors:
        if method not in params.rules:
            yield f"analysis.table1.survivors: {method} has no entry in rules; there are {', '.join(params.rules)}"
    for i, pair in enumerate(own.contrasts):
        field = f"analysis.table1.contrasts.{i}"
        for method in pair:
            if method not in params.rules:
                yield f"{field}: {method} has no entry in rules; there are {', '.join(params.rules)}"
        if len(set(pair)) == 1 or own.reference in pair:
            yield f"{field}: it takes two different methods, neither of them the reference, {own.reference}"
    if params.train.steps < own.collapse.window:
        yield f"analysis.table1.collapse.window: {own.collapse.window} steps, but a run has {params.train.steps}"


RESULT = Result(
    __name__,
    title="table 1",
    question="Does a rule reach the accuracy of full-token training, or pass it?",
    reads=("evaluate", "evaluate_base", "metrics"),
    columns=(
        Column("row", str, "the row's label"),
        Column("method", str, "the method, or base"),
        Column("replicates", str, "all, or survivors: those that did not collapse"),
        Column("<benchmark>", float, "accuracy on it, percent, mean over replicates; stand-ins are marked"),
        Column("Avg", float, "arithmetic mean of the benchmarks, percent"),
        Column("n", int, "replicates"),
        Column("bases", int, "base policies that they train"),
        Column("std", float, "standard deviation of Avg over replicates, points; empty with one"),
        Column("against", str, "the method that it is compared with"),
        Column("difference", float, "Avg less that method's, points"),
        Column("bases_above", int, "base policies on which the difference is above 0"),
        Column(
            "sign",
            str,
            "of the difference between base policies: same, differs, or unclear, where some are within 2 standard"
            " errors over problems; empty with one base policy, or if all are 0",
        ),
        Column("sd_bases", float, "standard deviation of the difference between base policies, points"),
        Column("sd_seeds", float, "the same between seeds on one base policy; both empty with one seed a base"),
        Column("df", int, "degrees of freedom of the paired t-test"),
        Column("t", float, "its statistic"),
        Column("p", float, "its two-sided p-value"),
        Column("p_holm", float, "the p-value after Holm, over all tested rows"),
        Column("p_flip", float, "exact two-sided p-value of the sign-flip test"),
        Column("ci_low", float, "interval of the difference, lower end"),
        Column("ci_high", float, "the same, upper end"),
        Column("mdd", float, "the smallest true difference that this test would find with the given power, points"),
        Column("boot_low", float, "bootstrap interval of the difference, lower end; empty below 6 replicates"),
        Column("boot_high", float, "the same, upper end"),
        Column("collapsed", int, "replicates of this row that collapsed; empty for the base policy"),
        Column("published_family", str, "the family of the paper's experiments that the next columns cite"),
        Column("published_avg", float, "Avg in the paper"),
        Column("published_avg_sd", float, "its standard deviation there"),
        Column("published_math", float, "MATH in the paper"),
        Column("published_aime", float, "AIME24 in the paper"),
        Column("published_aime_sd", float, "its standard deviation there"),
        Column("published_full_avg", float, "Avg of full-token training in that family"),
        Column("published_full_avg_sd", float, "its standard deviation there"),
        Column("published_full_aime", float, "AIME24 of full-token training in that family"),
        Column("published_full_aime_sd", float, "its standard deviation there"),
        Column("preset", str, "the preset that was run"),
        Column("policy", str, "its base policy: tiny, a folder's name, or a hub id"),
        Column("benchmarks", str, "real (published), own, synthetic stand-ins, or several of these"),
    ),
    params=Table1Params,
    others={"prompts.benchmarks": BenchmarkNames},
    metrics=("<benchmark>", "Avg", "std", "n", "difference"),
    page=True,
    disagrees=disagrees,
    overturned="A row whose interval includes 0 shows no difference; its mdd says what it could have shown.",
)
