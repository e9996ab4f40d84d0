"""Entropy over training: groups by SQL, replicates and the gap here, and the panels that show them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.dynamics import SCORES
from tokenspectrum.results.given import Given
from tokenspectrum.results.outcome.rows import spread
from tokenspectrum.results.tables import Tables
from tokenspectrum.results.texts import logged_alignment

Row = dict[str, Any]
COLOURS = {"anchor": "C0", "explorer": "C3", "all": "0.45"}
NAMES = {
    "entropy_norm": "normalised, H / ln(visible)",
    "entropy_raw": "raw [nats]",
    "entropy_topk": "top-k [nats]",
    "entropy_fixed": "fixed-K [nats]",
}
PANEL_WIDTH, PANEL_HEIGHT = 2.9, 1.9  # inches


def shown_layer(given: Given) -> int:
    """The layer's index."""
    return resolve_layer(given.own.layer, given["policy"].num_layers)


def compute(tables: Tables, given: Given) -> Answer:
    """Methods, scores, groups and steps in order, each over the replicates."""
    own = given.own
    values: Row = {"p": own.p, "score": own.score, "sampled": own.sampled, "layer": shown_layer(given)}
    found = {
        tuple(row[name] for name in ("run", "score", "part", "step", "seed")): row
        for row in tables.query("query.sql", macros=["queries/macros.sql"], **values)
    }
    steps = sorted({key[3] for key in found})
    rows = []
    for method in given.methods:
        for score in SCORES:
            first: dict[int, float] = {}  # each replicate's gap at its first step
            for step in steps:
                there = [r for r in given.replicates if (method, score, "all", step, r.seed) in found]
                if not there:
                    continue
                parts = {part: [found[method, score, part, step, r.seed] for r in there] for part in COLOURS}
                head = {"method": method, "score": score}
                for part, of in parts.items():
                    within = [row["within"] for row in of if row["within"] is not None]
                    rows.append(
                        head
                        | {"group": part, "step": step}
                        | spread([row["mean"] for row in of], there)
                        | {"within": float(np.mean(within)) if within else None}
                        | {"tokens": sum(row["tokens"] for row in of)}
                    )
                pairs = zip(parts["explorer"], parts["anchor"], strict=True)
                gaps = [e["mean"] - a["mean"] for e, a in pairs]
                kept = [_kept(gap, first.setdefault(r.seed, gap)) for gap, r in zip(gaps, there, strict=True)]
                rest = {
                    "within": None,
                    "tokens": sum(row["tokens"] for p in ("anchor", "explorer") for row in parts[p]),
                }
                for group, values_R in (("gap", gaps), ("kept", kept)):
                    rows.append(head | {"group": group, "step": step} | spread(values_R, there) | rest)
    return Answer(rows)


def _kept(gap: float, first: float) -> float:
    """The gap less half of the first.  A score that ranks no tokens may begin with a gap below 0: both are turned."""
    return math.copysign(1.0, first) * (gap - first / 2)


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """A row a score, a column a method: the groups' means, and bands of their deviation."""
    labels = given["analysis.table1.labels"]
    sampled = "All scores" if given.own.sampled else "Top-k and fixed-K"
    alignment = logged_alignment(given["tokens.alignment"])
    captions = caption_lines(
        [
            f"Attention entropy of layer {shown_layer(given)}, alignment {alignment}. Anchors and explorers: the first "
            f"and last {given.own.p:g} of each response by {given.own.score}, ranked anew at each step. Line: mean of "
            f"n = {len(given.replicates)} replicates; band: one standard deviation within the group. {sampled}: "
            f"sampled responses, on the steps where rows were sampled."
        ]
    )
    scores = [score for score in SCORES if any(row["score"] == score for row in rows)]
    foot = LINE_HEIGHT * (len(captions) + 1)
    width, height = max(9.0, PANEL_WIDTH * len(given.methods) + 1.2), PANEL_HEIGHT * len(scores) + foot + 0.8
    figure = blank(width, height)
    grid = figure.subplots(len(scores), len(given.methods), sharex=True, sharey="row", squeeze=False)
    for line, score in zip(grid, scores, strict=True):
        for axis, method in zip(line, given.methods, strict=True):
            for group, colour in COLOURS.items():
                of = [r for r in rows if (r["method"], r["score"], r["group"]) == (method, score, group)]
                step_S = np.array([row["step"] for row in of])
                mean_S = np.array([row["mean"] for row in of])
                within_S = np.array([row["within"] or 0.0 for row in of])
                axis.plot(
                    step_S, mean_S, color=colour, label=group, linewidth=1.4, marker="o" * (len(of) < 12), markersize=3
                )
                axis.fill_between(step_S, mean_S - within_S, mean_S + within_S, color=colour, alpha=0.15, linewidth=0)
        line[0].set_ylabel(NAMES[score])
    for axis, method in zip(grid[0], given.methods, strict=True):
        axis.set_title(labels.get(method, method), fontsize=8)
    for axis in grid[-1]:
        axis.set_xlabel("training step")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid[0, -1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    room = {"left": 0.6 / width, "right": 1 - 0.9 / width, "top": 1 - 0.3 / height, "bottom": (foot + 0.4) / height}
    figure.subplots_adjust(**room, hspace=0.12, wspace=0.08)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure
