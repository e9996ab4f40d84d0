"""Sparse estimability: predictions against what was measured, and the figure."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from scipy import stats

from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.gradient_rows import of_base
from tokenspectrum.results.measured import BASE
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
COLOURS = {"expected": "C0", "selected": "C1"}
WIDTH, PANEL = 10.0, 2.8  # inches


def compute(tables: Tables, given: Given) -> Answer:
    """A row a run, replicate, step, fraction and estimator."""
    rows = tables.query("query.sql")
    return Answer([of_base(predicted(row, given.own.alpha), given.replicates) for row in rows])


def predicted(row: Row, alpha: float) -> Row:
    """What the formulas say of one row of the query, and the ratio with its interval.  None where g is zero."""
    p, q = row["p"], row["q"]
    eq9 = centred = eq10 = ratio = low = high = signs = None
    if q is not None:
        eq9, centred = (1 - p) / p * q, (1 - p) / p * (q - 1 / row["batch"])
        eq10, signs = 1 / math.sqrt(1 + eq9), row["q_se"] / q
        less = 0.0 if row["estimator"] == "expected" else 1 / row["batch"]
        # The centred estimator of one token has no error: it and the formula are 0, or what rounding left.
        if less < 1 and row["measured"]:
            ratio = row["measured"] / ((1 - p) / p * (q - less))
            # Relative variances of a quotient add, to first order.
            of_masks, of_signs = row["sd"] / math.sqrt(row["draws"]) / row["measured"], row["q_se"] / (q - less)
            half = float(stats.norm.ppf(1 - alpha / 2)) * math.hypot(of_masks, of_signs)
            low, high = ratio * (1 - half), ratio * (1 + half)
    kept = {name: row[name] for name in ("run", "seed", "step", "p", "estimator", "batch", "draws")}
    found = {"eq9": eq9, "centred": centred, "measured": row["measured"], "sd": row["sd"], "ratio": ratio}
    return kept | found | {"ci_low": low, "ci_high": high, "eq10": eq10, "cosine": row["cosine"], "signs": signs}


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """The figure."""
    return panels(rows)


def panels(rows: Sequence[Row]) -> Figure:
    """A panel a base policy: error against p on two log scales, formulas as lines, masks as dots."""
    own = [row for row in rows if row["run"] == BASE and row["eq9"] is not None]
    bases = list(dict.fromkeys(row["base"] for row in own))
    captions = caption_lines([caption(own)])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = PANEL + 0.9 + foot
    figure = blank(WIDTH, height)
    axes = figure.subplots(1, max(1, len(bases)), sharey=True, squeeze=False)[0]
    for axis, base in zip(axes, bases, strict=False):
        of = [row for row in own if row["base"] == base]
        line = [row for row in of if row["estimator"] == "expected"]
        axis.plot([r["p"] for r in line], [r["eq9"] for r in line], "-", color="C0", label="eq. 9", linewidth=1)
        axis.plot([r["p"] for r in line], [r["centred"] for r in line], "--", color="C1", label="centred", linewidth=1)
        for i, (estimator, colour) in enumerate(COLOURS.items()):
            dots = [row for row in of if row["estimator"] == estimator]
            # Beside each other, as they nearly coincide.
            p = [row["p"] * 1.03 ** (2 * i - 1) for row in dots]
            axis.plot(p, [row["measured"] for row in dots], "o", color=colour, label=estimator, markersize=4)
        axis.set_xscale("log")
        axis.set_xticks([r["p"] for r in line], [f"{r['p']:g}" for r in line])
        axis.minorticks_off()
        axis.set_yscale("log")
        axis.set_title(f"base {base}", fontsize=8)
        axis.set_xlabel("fraction of tokens kept")
    axes[0].set_ylabel("|g_p - g|² / |g|²")
    if bases:
        axes[0].legend(frameon=False)
    figure.subplots_adjust(left=0.07, right=0.98, top=1 - 0.35 / height, bottom=(foot + 0.55) / height, wspace=0.1)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def caption(rows: Sequence[Row]) -> str:
    """What the panels show, from what was computed."""
    draws = sorted({row["draws"] for row in rows}) or [0]
    batches = sorted({row["batch"] for row in rows}) or [0]
    return (
        f"Error of the gradient of random tokens against that of all {batches[0]} to {batches[-1]} tokens of a small "
        f"batch: lines by the formulas, dots the mean of {draws[0]} masks each."
    )
