"""Update by decile: the numbers by SQL, and the figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.gradient_rows import of_base
from tokenspectrum.results.tables import Tables
from tokenspectrum.results.texts import policies

Row = dict[str, Any]
TEN = tuple(f"D{d}" for d in range(10))
BANDS = ("D0-2", "D3-6", "D7-9")
WIDTH, PANEL = 10.0, 2.6  # inches


def compute(tables: Tables, given: Given) -> Answer:
    """Thirteen rows a run, replicate and step; the base policies first."""
    return Answer([of_base(row, given.replicates) for row in tables.query("query.sql")])


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """The figure."""
    return panels(rows)


def panels(rows: Sequence[Row]) -> Figure:
    """The deciles of each base policy; and, for each method with probe steps, its bands over steps."""
    runs = list(dict.fromkeys(row["run"] for row in rows))
    captions = caption_lines([caption(rows)])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = PANEL + 0.9 + foot
    figure = blank(WIDTH, height)
    axes = figure.subplots(1, len(runs), squeeze=False)[0]
    for axis, run in zip(axes, runs, strict=True):
        own = [row for row in rows if row["run"] == run and row["proj_ratio"] is not None]
        steps = sorted({row["step"] for row in own})
        axis.axhline(0, color="0.7", linewidth=0.8)
        if len(steps) > 1:
            for i, band in enumerate(BANDS):
                of = [row for row in own if row["band"] == band]
                means = [np.mean([row["proj_ratio"] for row in of if row["step"] == step]) for step in steps]
                axis.plot(steps, means, "o-", color=f"C{i}", label=band, markersize=3, linewidth=1.2)
            axis.set_xlabel("training step")
        else:
            for i, base in enumerate(sorted({row["base"] for row in own})):
                of = [next((r["proj_ratio"] for r in own if (r["base"], r["band"]) == (base, d)), None) for d in TEN]
                axis.plot(range(10), of, "o-", color=f"C{i}", label=f"base {base}", markersize=3, linewidth=1.2)
            axis.set_xticks(range(10), TEN)
            axis.set_xlabel("decile of the attention score")
        axis.set_title("base policies" if run == "base" else run, fontsize=8)
        axis.legend(frameon=False)
    axes[0].set_ylabel("<g_S, g> / |g|²")
    figure.subplots_adjust(left=0.08, right=0.98, top=1 - 0.35 / height, bottom=(foot + 0.55) / height, wspace=0.2)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def caption(rows: Sequence[Row]) -> str:
    """What the panels show, from what was computed."""
    bases, layers = ({row[name] for row in rows} for name in ("base", "layer"))
    return (
        f"Share of the update by decile of the attention score of layer {', '.join(map(str, sorted(layers)))}, under "
        f"the denominator of all tokens, so that ten deciles sum to 1; n = {policies(len(bases))}. Over steps: "
        "bands, means over replicates."
    )
