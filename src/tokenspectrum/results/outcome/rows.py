"""Rows of a result that compares trained methods: accuracy at the end against a reference, and values over steps.

Knows scores and metrics.  Knows no single result, and draws nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tokenspectrum.params.replicates import Replicate
from tokenspectrum.results.comparison import Comparison, averages, compare
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import BASE, Scores, read_ends, read_scores
from tokenspectrum.results.outcome.declare import COLUMNS, HELD_OUT
from tokenspectrum.results.sql import query_text
from tokenspectrum.results.statistics import holm, summary, t_interval
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
EMPTY: Row = dict.fromkeys(column.name for column in COLUMNS)


def compute(tables: Tables, given: Given) -> Answer:
    """Outcomes by window, metric and method, then curves by metric, method and step."""
    measures = measures_of(tables, given)
    rows = [row for window in given.own.windows for row in outcomes(tables, given, measures, window)]
    return Answer([*rows, *curves(tables, given, measures)])


def measures_of(tables: Tables, given: Given) -> dict[str, list[str]]:
    """Each measure of accuracy, and the benchmarks that it is the mean of, by their names.

    The hardest is that on which the base policies' accuracy, mean over replicates, is lowest; the first of equals.
    """
    rows = tables.ask(query_text("queries/checkpoints.sql"), of=["evaluate_base"])
    names = [benchmark.name for benchmark in given["prompts.benchmarks"]]
    accuracy = {name: float(np.mean([r["accuracy"] for r in rows if r["benchmark"] == name])) for name in names}
    hardest = min(names, key=accuracy.__getitem__)
    # Without it there is nothing left of a single benchmark.
    others = [name for name in names if name != hardest] or names
    headings = {benchmark.heading: [benchmark.name] for benchmark in given["prompts.benchmarks"]}
    return {"Avg": names, "hardest": [hardest], "without_hardest": others} | headings


def outcomes(tables: Tables, given: Given, measures: Mapping[str, Sequence[str]], window: int) -> Iterator[Row]:
    """Every measure over the last `window` checkpoints, of the base policy and each method, against the reference.

    A contrast of two methods is a row of the first, tested against the second.
    """
    own, params = given.own, given["analysis.table1"]
    asked = "windows of this result's section of analysis"
    scores = read_scores(tables, [b.name for b in given["prompts.benchmarks"]], window, asked)
    ends = read_ends(tables, params.collapse)
    for metric, benchmarks in measures.items():
        pairs = [(run, own.reference) for run in (BASE, *given.methods)] + list(own.contrasts)
        found = [compare(scores, run, other, given.replicates, params, benchmarks) for run, other in pairs]
        adjusted = holm([c.test.p if c.test else None for c in found])
        for (run, other), comparison, p_holm in zip(pairs, found, adjusted, strict=True):
            values = averages(scores, run, given.seeds, benchmarks)
            collapsed = None if run == BASE else sum(ends[run, seed].collapsed for seed in given.seeds)
            yield (
                EMPTY
                | {"what": "outcome", "method": run, "metric": metric, "of": of(given, benchmarks)}
                | {"checkpoints": window, "collapsed": collapsed}
                | spread(values, given.replicates)
                | tested(comparison, p_holm)
                | {"difference_sd": paired_sd(scores, run, comparison.against, given.seeds, benchmarks)}
                | shares(scores, run, other, given.seeds, benchmarks, 1 - params.alpha)
            )


def of(given: Given, benchmarks: Sequence[str]) -> str:
    """The benchmarks by their headings."""
    return ", ".join(b.heading for b in given["prompts.benchmarks"] if b.name in benchmarks)


def spread(values: Sequence[float], replicates: Sequence[Replicate]) -> Row:
    """The columns of values over replicates."""
    found = summary(values)
    bases = len({replicate.base for replicate in replicates})
    spans = {"low": min(values), "high": max(values)}
    return {"n": found.n, "bases": bases, "mean": found.mean, "sd": found.sd} | spans


def tested(comparison: Comparison, p_holm: float | None) -> Row:
    """The columns of a comparison."""
    test = comparison.test
    return {
        "against": comparison.against,
        "difference": comparison.difference,
        "difference_sd": None,
        "ci_low": test and test.low,
        "ci_high": test and test.high,
        "p": test and test.p,
        "p_holm": p_holm,
        "p_flip": comparison.flip,
        "mdd": comparison.mdd,
        "bases_above": comparison.above,
        "sign": comparison.sign,
    }


def paired_sd(
    scores: Scores, run: str, against: str | None, seeds: Sequence[int], benchmarks: Sequence[str]
) -> float | None:
    """Standard deviation of the paired differences, also where it is 0; None where nothing is compared."""
    if against is None:
        return None
    pairs = zip(*(averages(scores, one, seeds, benchmarks) for one in (run, against)), strict=True)
    return summary([a - b for a, b in pairs]).sd


def shares(
    scores: Scores, run: str, against: str, seeds: Sequence[int], benchmarks: Sequence[str], confidence: float
) -> Row:
    """Accuracy as a share of another method's, and gain over the base policy as a share of its gain.

    The share of each replicate is taken first, so that what differs between replicates falls out.  None where a
    replicate's denominator is not above 0.
    """
    if run in (BASE, against):
        return {}
    a_R, b_R, base_R = (np.array(averages(scores, one, seeds, benchmarks)) for one in (run, against, BASE))
    row: Row = {}
    for name, top_R, bottom_R in (("share", a_R, b_R), ("gain_share", a_R - base_R, b_R - base_R)):
        if (bottom_R > 0).all():
            found = summary([float(x) for x in 100 * top_R / bottom_R])
            low, high = t_interval(found.mean or 0.0, found.sd, found.n, confidence)
            row |= {name: found.mean, f"{name}_low": low, f"{name}_high": high}
    return row


def curves(tables: Tables, given: Given, measures: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """Every value over steps: training metrics from step 1, accuracy from the base policy at step 0."""
    for curve in given.own.curves:
        if curve not in HELD_OUT:
            yield from trained(tables, given, curve)
            continue
        headings = [benchmark.heading for benchmark in given["prompts.benchmarks"]]
        for metric in headings if curve == "benchmarks" else [curve]:
            yield from held_out(tables, given, metric, measures[metric])


def trained(tables: Tables, given: Given, metric: str) -> Iterator[Row]:
    """One column of the table metrics: of every method and step, over replicates."""
    rows = tables.ask(query_text("queries/training.sql"), of=["metrics"], metrics=[metric])
    yield from over_steps(given, metric, None, rows)


def held_out(tables: Tables, given: Given, metric: str, benchmarks: Sequence[str]) -> Iterator[Row]:
    """One measure of accuracy, percent, of every method at each evaluated checkpoint, over replicates."""
    text = query_text("queries/checkpoints.sql")
    rows = [r | {"run": BASE} for r in tables.ask(text, of=["evaluate_base"])] + tables.ask(text, of=["evaluate"])
    found: dict[tuple[str, int, int], dict[str, float]] = {}
    for row in rows:
        found.setdefault((row["run"], row["seed"], row["step"]), {})[row["benchmark"]] = row["accuracy"]
    points = [
        {"run": run, "seed": seed, "step": step, "value": 100 * float(np.mean([accuracy[b] for b in benchmarks]))}
        for (run, seed, step), accuracy in found.items()
    ]
    start = [point for point in points if point["run"] == BASE]
    # Each method's line begins at the base policy that it trains.
    begun = [point | {"run": method} for method in given.methods for point in start]
    ends = [point for point in points if point["run"] != BASE]
    yield from over_steps(given, metric, of(given, benchmarks), [*begun, *ends])


def over_steps(given: Given, metric: str, of_: str | None, points: Sequence[Row]) -> Iterator[Row]:
    """A row a method and step of points with run, seed, step and value."""
    by: dict[tuple[str, int], dict[int, float]] = {}
    for point in points:
        by.setdefault((point["run"], point["step"]), {})[point["seed"]] = point["value"]
    head = EMPTY | {"what": "curve", "metric": metric, "of": of_}
    for method in given.methods:
        for step in sorted(step for run, step in by if run == method):
            there = [r for r in given.replicates if r.seed in by[method, step]]
            values = [by[method, step][r.seed] for r in there]
            yield head | {"method": method, "step": step} | spread(values, there)
