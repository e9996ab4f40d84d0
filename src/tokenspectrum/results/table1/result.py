"""Table 1: a row a method, tested against the reference, with the published figures apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenspectrum.params.replicates import Replicate
from tokenspectrum.results.benchmarks import BenchmarkName, kind
from tokenspectrum.results.comparison import Comparison, averages, compare
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import BASE, Scores, read_ends, read_scores
from tokenspectrum.results.published import published
from tokenspectrum.results.statistics import holm, summary
from tokenspectrum.results.table1 import Table1Params
from tokenspectrum.results.table1.page import Facts, to_markdown
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]


def compute(tables: Tables, given: Given) -> Answer:
    """All rows in order: base, the methods, and the contrasts between two methods.

    A method of `survivors` has a second row if something collapsed: of the replicates that did not.
    """
    params, benchmarks = given.own, given["prompts.benchmarks"]
    scores = read_scores(tables, [b.name for b in benchmarks], params.last_checkpoints)
    ends = read_ends(tables, params.collapse)
    cited = published(tables)
    every = given.replicates
    plan = [Planned(BASE, params.reference, "all", every)]
    for method in given.methods:
        plan.append(Planned(method, params.reference, "all", every))
        survivors = tuple(r for r in every if not ends[method, r.seed].collapsed)
        if method in params.survivors and len(survivors) < len(every):
            plan.append(Planned(method, params.reference, "survivors", survivors))
    trained = [pair for pair in params.contrasts if set(pair) <= set(given.methods)]
    plan += [Planned(one, other, "all", every) for one, other in trained]
    comparisons = [compare(scores, row.run, row.against, row.replicates, params) for row in plan]
    adjusted = holm([c.test.p if c.test else None for c in comparisons])
    none = dict.fromkeys(next(iter(cited.values())))
    if any(b.is_own for b in benchmarks):
        cited = {}
    what = {**given.named, "benchmarks": kind(benchmarks)}
    rows = []
    for row, comparison, p_holm in zip(plan, comparisons, adjusted, strict=True):
        seeds = [replicate.seed for replicate in row.replicates]
        # A contrast shows the difference alone: each of its methods has a row.
        shown = [] if row.is_contrast(params) else seeds
        spread = summary(averages(scores, row.run, shown))
        rows.append(
            {"row": row.label(params), "method": row.run, "replicates": row.which}
            | accuracies(scores, row.run, shown, benchmarks)
            | {"Avg": spread.mean, "n": len(seeds), "bases": len({r.base for r in row.replicates}), "std": spread.sd}
            | tested(comparison, p_holm)
            | {"collapsed": None if row.run == BASE else sum(ends[row.run, s].collapsed for s in seeds)}
            | (none if row.is_contrast(params) else cited.get((row.run, row.which), none))
            | what
        )
    return Answer(rows, Facts(scores, ends, comparisons))


@dataclass(frozen=True)
class Planned:
    """A row to come: a run, what it is tested against, and over which replicates."""

    run: str
    against: str
    which: str  # all or survivors
    replicates: tuple[Replicate, ...]

    def is_contrast(self, params: Table1Params) -> bool:
        """Whether it is tested against another method than the reference."""
        return self.against != params.reference

    def label(self, params: Table1Params) -> str:
        """What the row is called."""
        name, other = (params.labels.get(run, run) for run in (self.run, self.against))
        if self.is_contrast(params):
            return f"{name} against {other}"
        return f"{name}, survivors" if self.which == "survivors" else name


def accuracies(scores: Scores, run: str, seeds: Sequence[int], benchmarks: Sequence[BenchmarkName]) -> Row:
    """Accuracy on each benchmark, percent, mean over replicates; None of none."""
    return {
        b.heading: 100 * float(np.mean([scores.accuracy[run, s][b.name].mean() for s in seeds])) if seeds else None
        for b in benchmarks
    }


def tested(comparison: Comparison, p_holm: float | None) -> Row:
    """The columns of a comparison."""
    test = comparison.test
    low, high = comparison.interval or (None, None)
    return {
        "against": comparison.against,
        "difference": comparison.difference,
        "bases_above": comparison.above,
        "sign": comparison.sign,
        "sd_bases": comparison.parts.bases,
        "sd_seeds": comparison.parts.seeds,
        "df": test and test.df,
        "t": test and test.t,
        "p": test and test.p,
        "p_holm": p_holm,
        "p_flip": comparison.flip,
        "ci_low": test and test.low,
        "ci_high": test and test.high,
        "mdd": comparison.mdd,
        "boot_low": low,
        "boot_high": high,
    }


def page(answer: Answer, given: Given) -> str:
    """The table as Markdown, with what was found."""
    return to_markdown(answer.rows, answer.facts, given)
