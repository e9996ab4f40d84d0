"""Gradient geometry: the numbers by SQL, and the figure: base policies above, probe steps of each method below."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.gradient_rows import of_base
from tokenspectrum.results.measured import BASE
from tokenspectrum.results.tables import Tables
from tokenspectrum.results.texts import policies

Row = dict[str, Any]
FULL = "full"
# Column -> the words of its axis, and the denominator that it is drawn under.
MEASURES = {
    "norm_ratio": ("|g_S| / |g|", "selected"),
    "cosine": ("cosine of g_S and g", "all"),
    "proj_ratio": ("<g_S, g> / |g|²", "all"),
    "online_std": ("online STD of the cosine", "all"),
    "online_cv": ("online CV of the cosine", "all"),
}
WIDTH, PANEL = 12.0, 2.3  # inches
MARKS = "os^"  # one for ten colours each


def compute(tables: Tables, given: Given) -> Answer:
    """A row a run, replicate, step, subset and denominator; the base policies first."""
    return Answer([of_base(row, given.replicates) for row in tables.query("query.sql")])


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """The figure."""
    return panels(rows)


def panels(rows: Sequence[Row]) -> Figure:
    """A row of panels for the base policies, and one for each method with probe steps."""
    subsets = [name for name in dict.fromkeys(row["subset"] for row in rows) if name != FULL]
    runs = list(dict.fromkeys(row["run"] for row in rows))
    captions = caption_lines([caption(rows)])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = (PANEL + 0.6) * len(runs) + foot + 0.3
    figure = blank(WIDTH, height)
    grid = figure.subplots(len(runs), len(MEASURES), squeeze=False)
    for axes, run in zip(grid, runs, strict=True):
        for axis, (column, (label, denominator)) in zip(axes, MEASURES.items(), strict=True):
            own = [row for row in rows if (row["run"], row["denominator"]) == (run, denominator)]
            if column.startswith("online") and all(row[column] is None for row in own):
                axis.set_axis_off()
                continue
            (_dots if run == BASE else _lines)(axis, own, column, subsets)
            axis.set_title(f"{'base policies' if run == BASE else run}: {label}", fontsize=8)
    handles, labels = grid[0][0].get_legend_handles_labels()
    grid[0][-1].legend(handles, labels, frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(-1.2, 0.5))
    figure.subplots_adjust(
        left=0.05, right=0.98, top=1 - 0.35 / height, bottom=(foot + 0.4) / height, wspace=0.35, hspace=0.35
    )
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def _dots(axis: Axes, rows: Sequence[Row], column: str, subsets: Sequence[str]) -> None:
    """A colour a subset, a place a base policy."""
    bases = sorted({row["base"] for row in rows})
    for i, subset in enumerate(subsets):
        own = [row for row in rows if row["subset"] == subset and row[column] is not None]
        x = [bases.index(row["base"]) + (i - len(subsets) / 2) * 0.6 / max(1, len(subsets)) for row in own]
        axis.plot(x, [row[column] for row in own], MARKS[i // 10 % 3], color=f"C{i}", markersize=4, label=subset)
    axis.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axis.set_xticks(range(len(bases)), [f"base {base}" for base in bases])


def _lines(axis: Axes, rows: Sequence[Row], column: str, subsets: Sequence[str]) -> None:
    """A line a subset over probe steps: the mean over replicates."""
    for i, subset in enumerate(subsets):
        own = [row for row in rows if row["subset"] == subset and row[column] is not None]
        steps = sorted({row["step"] for row in own})
        means = [np.mean([row[column] for row in own if row["step"] == step]) for step in steps]
        mark = f"{MARKS[i // 10 % 3]}-"
        axis.plot(steps, means, mark, color=f"C{i}", markersize=3, linewidth=1.2, label=subset)
    every = sorted({row["step"] for row in rows})
    axis.set_xticks(every[:: 1 + len(every) // 9])
    axis.set_xlabel("training step")


def caption(rows: Sequence[Row]) -> str:
    """What the panels show, from what was computed."""
    bases = {row["base"] for row in rows}
    trained = {(row["run"], row["seed"]) for row in rows if row["run"] != BASE}
    of_runs = f"; below, means over replicates of {len(trained)} trainings" if trained else ""
    ranked = sorted({row["layer"] for row in rows if row["layer"] is not None})
    layers = f"; subsets by attention are ranked at layer {', '.join(map(str, ranked))}" if ranked else ""
    return (
        f"Gradient of a subset of tokens against that of all tokens, at ratio 1: n = {policies(len(bases))} on "
        f"their probes{of_runs}. Norm ratio under the denominator selected, proj ratio under all{layers}."
    )
