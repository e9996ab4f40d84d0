"""Table 1: a row a method, tested against the reference, with the published figures apart."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tokenspectrum.results.benchmarks import BenchmarkName, kind
from tokenspectrum.results.comparison import Comparison, averages, compare
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import BASE, Ends, Scores, read_ends, read_scores
from tokenspectrum.results.statistics import holm, summary
from tokenspectrum.results.table1.page import to_markdown
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]


class Facts(NamedTuple):
    """What the page tells beside the rows."""

    scores: Scores
    ends: dict[tuple[str, int], Ends]


def compute(tables: Tables, given: Given) -> Answer:
    """All rows in order: base, the methods, and after each method of `survivors` its surviving seeds."""
    params, benchmarks = given.own, given["prompts.benchmarks"]
    scores = read_scores(tables, [b.name for b in benchmarks], params.last_checkpoints)
    ends = read_ends(tables, params.collapse)
    cited = published(tables)
    plan = [(BASE, "all", given.seeds)]
    for method in given.methods:
        plan.append((method, "all", given.seeds))
        if method in params.survivors:
            plan.append((method, "survivors", tuple(s for s in given.seeds if not ends[method, s].collapsed)))
    comparisons = [compare(scores, run, kept, params) for run, _, kept in plan]
    adjusted = holm([c.test.p if c.test else None for c in comparisons])
    none = dict.fromkeys(next(iter(cited.values())))
    what = {"preset": given["preset"], "policy": given["policy.kind"], "benchmarks": kind(benchmarks)}
    rows = []
    for (run, which, kept), comparison, p_holm in zip(plan, comparisons, adjusted, strict=True):
        label = params.labels.get(run, run)
        spread = summary(averages(scores, run, kept))
        rows.append(
            {"row": f"{label}, survivors" if which == "survivors" else label, "method": run, "seeds": which}
            | accuracies(scores, run, kept, benchmarks)
            | {"Avg": spread.mean, "n": spread.n, "std": spread.sd}
            | tested(comparison, p_holm)
            | {"collapsed": None if run == BASE else sum(ends[run, s].collapsed for s in kept)}
            | cited.get((run, which), none)
            | what
        )
    return Answer(rows, Facts(scores, ends))


def accuracies(scores: Scores, run: str, seeds: Sequence[int], benchmarks: Sequence[BenchmarkName]) -> Row:
    """Accuracy on each benchmark, percent, mean over seeds; None of no seed."""
    return {
        b.heading: 100 * float(np.mean([scores.accuracy[run, s][b.name].mean() for s in seeds])) if seeds else None
        for b in benchmarks
    }


def tested(comparison: Comparison, p_holm: float | None) -> Row:
    """The columns of a comparison."""
    test = comparison.test
    low, high = comparison.interval or (None, None)
    return {
        "difference": comparison.difference,
        "df": test and test.df,
        "t": test and test.t,
        "p": test and test.p,
        "p_holm": p_holm,
        "ci_low": test and test.low,
        "ci_high": test and test.high,
        "mdd": comparison.mdd,
        "boot_low": low,
        "boot_high": high,
    }


def published(tables: Tables) -> dict[tuple[str, str], Row]:
    """The paper's figures by method and seeds."""
    rows = tables.query("published.sql", of=())
    figures: list[Row] = [
        {k: v if v is None or isinstance(v, str) else float(v) for k, v in row.items()} for row in rows
    ]
    return {(row.pop("method"), row.pop("seeds")): row for row in figures}


def page(answer: Answer, given: Given) -> str:
    """The table as Markdown, with what was found."""
    return to_markdown(answer.rows, answer.facts.scores, answer.facts.ends, given)
