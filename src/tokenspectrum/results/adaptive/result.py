"""The adaptive curriculum: the shape that results of trained methods share, r over steps, and why it stood there."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.figure import Figure

from tokenspectrum.results.declare import Answer
from tokenspectrum.results.figures import FigureSpec
from tokenspectrum.results.given import Given
from tokenspectrum.results.lines import panels
from tokenspectrum.results.outcome import rows
from tokenspectrum.results.outcome.figure import specs
from tokenspectrum.results.tables import Tables

RAMP = "ramp"


def compute(tables: Tables, given: Given) -> Answer:
    """Outcomes and curves, then r at each step, then the reasons."""
    found = tables.query("ramps.sql", of=["metrics"])
    points = [row | {"value": row["ramp"]} for row in found]
    curves = rows.over_steps(given, RAMP, None, points)
    return Answer([*rows.compute(tables, given).rows, *curves, *reasons(found, given)])


def reasons(found: Sequence[dict[str, Any]], given: Given) -> Iterator[rows.Row]:
    """Over replicates: the number of a run's steps with each reason, the most frequent first."""
    counts = Counter((row["run"], row["reason"], row["seed"]) for row in found if row["reason"] is not None)
    for method in given.methods:
        total: dict[str, int] = {}
        for (run, reason, _), count in counts.items():
            if run == method:
                total[reason] = total.get(reason, 0) + count
        for reason in sorted(total, key=lambda reason: (-total[reason], reason)):
            values = [float(counts[method, reason, r.seed]) for r in given.replicates]
            row = {"what": "reason", "method": method, "metric": reason} | rows.spread(values, given.replicates)
            yield rows.EMPTY | row


def draw(drawn: Sequence[dict[str, Any]], given: Given) -> Figure:
    """The panels of the options, and r below them."""
    labels = given["analysis.table1"].labels
    points = [row for row in drawn if row["what"] == "curve"]
    names = {method: labels.get(method, method) for method in given.methods}
    ramp = FigureSpec(
        RAMP, "r: 0 weighs low attention entropy, 1 high", "", "replicates", None, None, len(given.replicates)
    )
    shown = specs(drawn, given) + [ramp] * any(point["metric"] == RAMP for point in points)
    return panels(points, shown, names, given.own.reference)
