"""Support of attention: means over responses, their intervals, and the figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.statistics import t_interval
from tokenspectrum.results.support.parts import PARTS, SCORES, STATISTICS, by_response
from tokenspectrum.results.tables import Tables
from tokenspectrum.results.texts import policies

Row = dict[str, Any]
SIZES = STATISTICS[:4]
WIDTH, PANEL = 10.0, 2.4  # inches
REACH = STATISTICS[4:]


def compute(tables: Tables, given: Given) -> Answer:
    """Every mean with its interval."""
    own = given.own
    rows = tables.over("means.sql", by_response=by_response(tables, own.p, own.first_n))
    order = ("base", "layer", "score", "part", "statistic", "mean", "sd", "ci_low", "ci_high", "responses", "tokens")
    found = []
    for row in rows:
        low, high = t_interval(row["mean"], row["sd"], row["responses"], 1 - own.alpha)
        found.append({name: (row | {"ci_low": low, "ci_high": high})[name] for name in order})
    return Answer(found)


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """A column a score, means over base policies and layers: positions that hold each share of the mass, and reach."""
    return panels(rows, given)


def panels(rows: Sequence[Row], given: Given) -> Figure:
    """The figure of `draw`."""
    own = given.own
    scores = [score for score in SCORES if any(row["score"] == score for row in rows)]
    captions = caption_lines([caption(rows, given)])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = 2 * PANEL + 1.2 + foot
    figure = blank(WIDTH, height)
    grid = figure.subplots(2, max(1, len(scores)), sharey="row", squeeze=False)
    axes = grid[0]
    for axis, score in zip(grid[1], scores, strict=False):
        reach(axis, [row for row in rows if row["score"] == score])
    for axis, score in zip(axes, scores, strict=False):
        for i, part in enumerate(PARTS):
            of = [r for r in rows if (r["score"], r["part"]) == (score, part)]
            means = [np.mean([r["mean"] for r in of if r["statistic"] == size]) for size in SIZES]
            axis.plot(range(len(SIZES)), means, "o-", color=f"C{i}", label=part, markersize=4, linewidth=1.2)
        axis.set_xticks(range(len(SIZES)), SIZES)
        axis.set_title(score if score != "first n" else f"raw, first {own.first_n} tokens", fontsize=8)
        axis.set_xlabel("share of the mass")
    axes[0].set_ylabel("positions that hold it")
    grid[1][0].set_ylabel("over that of all tokens")
    axes[0].legend(frameon=False)
    figure.subplots_adjust(
        left=0.07, right=0.98, top=1 - 0.35 / height, bottom=(foot + 0.45) / height, wspace=0.1, hspace=0.35
    )
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def reach(axis: Axes, rows: Sequence[Row]) -> None:
    """How far a part looks: each statistic over that of all tokens, mean over base policies and layers."""
    at = {(row["base"], row["layer"], row["part"], row["statistic"]): row["mean"] for row in rows}
    for i, part in enumerate(PARTS[:-1]):
        shares = [
            np.mean(
                [
                    of / at[b, layer, "all", s]
                    for (b, layer, p, s), of in at.items()
                    if (p, s) == (part, name) and at[b, layer, "all", s]
                ]
            )
            for name in REACH
        ]
        axis.plot(range(len(REACH)), shares, "o", color=f"C{i}", markersize=4)
    axis.axhline(1, color="0.7", linewidth=0.8, zorder=0)
    axis.set_xticks(range(len(REACH)), [name.replace(" ", "\n") for name in REACH])
    axis.set_xlim(-0.4, len(REACH) - 0.6)


def caption(rows: Sequence[Row], given: Given) -> str:
    """What the panels show, from what was computed."""
    bases, layers = ({row[name] for row in rows} for name in ("base", "layer"))
    responses = max((row["responses"] for row in rows), default=0)
    return (
        f"Above: positions that hold a share of the attention of a token; below: how far it looks. p = {given.own.p:g} "
        f"of each response by the score in the title; mean over {len(layers)} layers and {policies(len(bases))} of "
        f"means over n = {responses} responses each; alignment {given['tokens.alignment']}."
    )
