"""Training curves: the points by SQL, and the panels that show them."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from tokenspectrum.results.declare import Answer
from tokenspectrum.results.figures import FigureSpec, training_curve
from tokenspectrum.results.given import Given
from tokenspectrum.results.lines import panels
from tokenspectrum.results.tables import Tables
from tokenspectrum.results.texts import logged_alignment


def compute(tables: Tables, given: Given) -> Answer:
    """Every point: methods and metrics in the order of params, then steps."""
    return Answer(tables.query("query.sql", metrics=list(given.own.metrics), methods=list(given.methods)))


def specs(given: Given) -> list[FigureSpec]:
    """What each panel shows.  Attention entropy is that of the first logged layer."""
    layers = given["train.token_log.layers"]
    layer = "none" if not layers else "read by each rule" if layers[0] == "rule" else str(layers[0])
    alignment = logged_alignment(given["tokens.alignment"])
    return [training_curve(m, len(given.replicates), layer, alignment, given.own.smooth) for m in given.own.metrics]


def draw(points: Sequence[dict[str, Any]], given: Given) -> Figure:
    """A row of panels a metric, a column a method."""
    labels = given["analysis.table1.labels"]
    named = {method: labels.get(method, method) for method in given.methods}
    return panels(points, specs(given), named, given["analysis.table1.reference"])
