"""The figure of a result that compares trained methods: a row a curve, a column a method, the reference in each.

Draws rows of the CSV.  Computes nothing.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from tokenspectrum.results.figures import FigureSpec, held_out_curve, training_curve
from tokenspectrum.results.given import Given
from tokenspectrum.results.lines import panels
from tokenspectrum.results.outcome.declare import HELD_OUT
from tokenspectrum.results.texts import logged_alignment


def specs(rows: Sequence[dict[str, Any]], given: Given) -> list[FigureSpec]:
    """What each panel shows, in the order of the options."""
    own, alignment = given.own, logged_alignment(given["tokens.alignment"])
    layers = given["train.token_log.layers"]
    layer = "none" if not layers else "read by each rule" if layers[0] == "rule" else str(layers[0])
    accuracies = {row["metric"]: row["of"] for row in rows if row["what"] == "curve" and row["of"] is not None}
    shown: list[FigureSpec] = []
    for curve in own.curves:
        if curve not in HELD_OUT:
            shown.append(training_curve(curve, len(given.replicates), layer, alignment, own.smooth))
            continue
        metrics = [m for m in accuracies if m not in HELD_OUT] if curve == "benchmarks" else [curve]
        shown += [held_out_curve(metric, accuracies[metric], len(given.replicates)) for metric in metrics]
    return shown


def draw(rows: Sequence[dict[str, Any]], given: Given) -> Figure:
    """A row of panels a curve, a column a method."""
    labels = given["analysis.table1"].labels
    points = [row for row in rows if row["what"] == "curve"]
    names = {method: labels.get(method, method) for method in given.methods}
    return panels(points, specs(rows, given), names, given.own.reference)
