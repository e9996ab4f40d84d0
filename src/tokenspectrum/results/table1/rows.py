"""Table 1: a row a method, tested against full-token training, with the published figures apart.

Knows rows and numbers; the reading of tables is `measured`, the arithmetic `statistics`, the page `table1_page`.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np

from tokenspectrum.results import statistics
from tokenspectrum.results.measured import BASE, Ends, Scores
from tokenspectrum.results.numbers import number
from tokenspectrum.results.sql import query_text
from tokenspectrum.params.analysis import Table1Params

TESTED = ("difference", "df", "t", "p", "p_holm", "ci_low", "ci_high", "mdd", "boot_low", "boot_high")


@dataclass(frozen=True)
class Row:
    """One row.  Accuracies and differences in percent; None where undefined.  `seeds` is all or survivors."""

    method: str
    seeds: str
    label: str
    n: int
    collapsed: int | None
    benchmarks: dict[str, float | None]
    avg: float | None
    std: float | None
    tested: dict[str, float | None]
    published: dict[str, object]


@dataclass(frozen=True)
class Comparison:
    """A row's difference from the reference, before Holm."""

    difference: float | None = None
    test: statistics.PairedTest | None = None
    mdd: float | None = None
    interval: tuple[float, float] | None = None


def published() -> dict[tuple[str, str], dict[str, object]]:
    """Published figures by (method, seeds): the columns of published.sql."""
    with duckdb.connect() as connection:
        answer = connection.execute(query_text("published.sql", __package__))
        names = [column[0] for column in answer.description]
        rows = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    return {
        (row.pop("method"), row.pop("seeds")): {
            k: v if k == "published_family" or v is None else float(v) for k, v in row.items()
        }
        for row in rows
    }


def compare(scores: Scores, run: str, reference: str, seeds: Sequence[int], params: Table1Params) -> Comparison:
    """Paired comparison over `seeds` of a run with the reference; all blank with fewer than two, or no reference."""
    if run == reference or len(seeds) < 2 or (reference, seeds[0]) not in scores.accuracy:
        return Comparison()
    differences = {
        benchmark: 100
        * np.stack(
            [scores.accuracy[run, s][benchmark] - scores.accuracy[reference, s][benchmark] for s in seeds],
        )
        for benchmark in scores.accuracy[run, seeds[0]]
    }
    a_S, b_S = averages(scores, run, seeds), averages(scores, reference, seeds)
    confidence = 1 - params.alpha
    test = statistics.paired_t(a_S, b_S, confidence)
    mdd = statistics.minimum_detectable_difference(test.sd, test.n, params.power, params.alpha) if test else None
    interval = statistics.bootstrap_interval(differences, params.bootstrap.draws, params.bootstrap.seed, confidence)
    return Comparison(float(np.mean(a_S) - np.mean(b_S)), test, mdd, interval)


def averages(scores: Scores, run: str, seeds: Sequence[int]) -> list[float]:
    """Avg of each seed, percent: the arithmetic mean of the benchmarks' accuracies."""
    return [100 * float(np.mean([x.mean() for x in scores.accuracy[run, s].values()])) for s in seeds]


def build(
    scores: Scores,
    ends: Mapping[tuple[str, int], Ends],
    methods: Sequence[str],
    seeds: Sequence[int],
    params: Table1Params,
) -> list[Row]:
    """All rows in order: base, the methods, and after each method of `params.survivors` its surviving seeds."""
    cited = published()
    plan = [(BASE, "all", tuple(seeds))]
    for method in methods:
        plan.append((method, "all", tuple(seeds)))
        if method in params.survivors:
            plan.append((method, "survivors", tuple(s for s in seeds if not ends[method, s].collapsed)))
    comparisons = [compare(scores, run, params.reference, kept, params) for run, _, kept in plan]
    adjusted = statistics.holm([c.test.p if c.test else None for c in comparisons])
    none = dict.fromkeys(next(iter(cited.values())))
    rows = []
    for (run, which, kept), comparison, p_holm in zip(plan, comparisons, adjusted, strict=True):
        spread = statistics.summary(averages(scores, run, kept))
        label = params.labels.get(run, run)
        by_benchmark = {
            b: 100 * float(np.mean([scores.accuracy[run, s][b].mean() for s in kept])) if kept else None
            for b in scores.accuracy[run, seeds[0]]
        }
        rows.append(
            Row(
                run,
                which,
                f"{label}, survivors" if which == "survivors" else label,
                spread.n,
                None if run == BASE else sum(ends[run, s].collapsed for s in kept),
                by_benchmark,
                spread.mean,
                spread.sd,
                _tested(comparison, p_holm),
                cited.get((run, which), none),
            )
        )
    return rows


def _tested(comparison: Comparison, p_holm: float | None) -> dict[str, float | None]:
    test, interval = comparison.test, comparison.interval or (None, None)
    values = [test.df, test.t, test.p, p_holm, test.low, test.high] if test else [None] * 6
    return dict(zip(TESTED, [comparison.difference, *values, comparison.mdd, *interval], strict=True))


def to_csv(rows: Sequence[Row], headings: Sequence[str], facts: Mapping[str, str]) -> str:
    """The table as CSV: measured columns (`headings` are the benchmarks'), then published_* ones, then `facts`."""
    names = ["row", "method", "seeds", *headings, "Avg", "n", "std", *TESTED, "collapsed"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*names, *rows[0].published, *facts])
    for row in rows:
        measured = [*row.benchmarks.values(), row.avg, row.n, row.std, *row.tested.values(), row.collapsed]
        cells = [row.label, row.method, row.seeds, *map(number, measured), *map(number, row.published.values())]
        writer.writerow([*cells, *facts.values()])
    return out.getvalue()
