"""The layer sweep: the shape that results of trained methods share, and a figure over layers."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.layersweep import Swept
from tokenspectrum.results.outcome import rows
from tokenspectrum.results.tables import Tables

MEASURES = {"Avg": "Avg", "hardest": "the hardest benchmark"}
WIDTH, PANEL_HEIGHT = 9.0, 2.4  # inches


def compute(tables: Tables, given: Given) -> Answer:
    """Outcomes and curves, each with its rule and layer."""
    of = {method: {"rule": rule, "layer": layer} for rule, layer, method in given.own.sweep}
    none = {"rule": None, "layer": None}
    return Answer([of.get(row["method"], none) | row for row in rows.compute(tables, given).rows])


def draw(drawn: Sequence[dict[str, Any]], given: Given) -> Figure:
    """A row of panels a rule, a column a measure; the last window of the options."""
    own = given.own
    shown = [r for r in drawn if r["what"] == "outcome" and r["checkpoints"] == own.windows[-1]]
    sweeps: dict[str, list[Swept]] = {}
    for one in own.sweep:
        sweeps.setdefault(one[0], []).append(one)
    captions = caption_lines([caption(measure, shown, given) for measure in MEASURES])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = PANEL_HEIGHT * len(sweeps) + foot + 0.6
    figure = blank(WIDTH, height)
    axes = figure.subplots(len(sweeps), len(MEASURES), sharey="col", squeeze=False)
    for line, (rule, swept) in zip(axes, sweeps.items(), strict=True):
        for axis, measure in zip(line, MEASURES, strict=True):
            of = {r["method"]: r for r in shown if r["metric"] == measure and r["against"] in (None, own.reference)}
            _panel(axis, swept, of, own.reference)
            axis.set_title(f"{rule}: {MEASURES[measure]}")
            axis.set_ylabel(textwrap.fill("accuracy, percent", 24))
    for axis in axes[-1]:
        axis.set_xlabel("layer of the attention entropy")
    figure.subplots_adjust(left=0.08, right=0.99, top=1 - 0.3 / height, bottom=(foot + 0.45) / height, hspace=0.4)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def _panel(axis: Axes, swept: Sequence[Swept], of: dict[str, dict[str, Any]], reference: str) -> None:
    found = [of[method] for _, _, method in swept]
    means = [row["mean"] for row in found]
    spans = [[r["mean"] - r["low"] for r in found], [r["high"] - r["mean"] for r in found]]
    axis.errorbar(range(len(swept)), means, yerr=spans, fmt="o", color="C0", markersize=4, capsize=3, linewidth=1)
    axis.axhline(of[reference]["mean"], color="black", linewidth=1.2, dashes=(3, 2))
    axis.set_xticks(range(len(swept)), [layer for _, layer, _ in swept])
    axis.set_xlim(-0.5, len(swept) - 0.5)


def caption(measure: str, shown: Sequence[dict[str, Any]], given: Given) -> str:
    """One sentence that names everything that a column of panels depends on."""
    row = next(r for r in shown if r["metric"] == measure and r["method"] == given.own.reference)
    n, window = row["n"], row["checkpoints"]
    ends = f"the last {window} checkpoints" if window > 1 else "the last checkpoint"
    return (
        f"{MEASURES[measure]}: held-out accuracy, mean over samples, problems and {row['of']}, of {ends}; alignment "
        f"{given['tokens.alignment']}; point: mean of n = {n} replicate{'s' if n > 1 else ''}; bar: lowest to highest "
        f"replicate; dashed: {given.own.reference}."
    )
