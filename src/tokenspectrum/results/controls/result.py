"""Controls: the shape that results of trained methods share, and what the rules came to."""

from collections.abc import Iterator

from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.outcome import rows
from tokenspectrum.results.outcome.figure import draw
from tokenspectrum.results.tables import Tables

__all__ = ["compute", "draw"]

METRICS = ("kept_fraction", "mean_weight", "overlap", "at_floor")


def compute(tables: Tables, given: Given) -> Answer:
    """Outcomes and curves, then a row a method and realised value."""
    return Answer([*rows.compute(tables, given).rows, *realised(tables, given)])


def realised(tables: Tables, given: Given) -> Iterator[rows.Row]:
    """Over replicates: what each rule came to, mean over the steps of a run.  Only what the rule has."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in tables.query("realised.sql", of=["metrics"]):
        found.setdefault((row["run"], row["metric"]), {})[row["seed"]] = row["value"]
    for method in given.methods:
        for metric in METRICS:
            if values := found.get((method, metric)):
                there = [r for r in given.replicates if r.seed in values]
                spread = rows.spread([values[r.seed] for r in there], there)
                yield rows.EMPTY | {"what": "realised", "method": method, "metric": metric} | spread
