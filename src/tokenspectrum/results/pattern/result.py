"""Pattern of predictive entropy: all numbers by SQL, and their figure."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from scipy import stats

from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
WIDTH, PANEL = 8.0, 2.6  # inches


def compute(tables: Tables, given: Given) -> Answer:
    """Shares, histogram and lists of every base policy."""
    rows = tables.query("query.sql", **given.own.model_dump(exclude={"alpha"}))
    return Answer([with_interval(row, 1 - given.own.alpha) for row in rows])


def with_interval(row: Row, confidence: float) -> Row:
    """The row with the t interval of its share, over responses, in the place of the standard error."""
    se, n = row.pop("se"), row["responses"]
    half = None if se is None else float(stats.t.ppf((1 + confidence) / 2, n - 1)) * se
    ends = (
        {"ci_low": None, "ci_high": None}
        if half is None
        else {"ci_low": row["value"] - half, "ci_high": row["value"] + half}
    )
    return row | ends


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """The histogram on a log axis, a line a base policy."""
    return histogram(rows, given)


def histogram(rows: Sequence[Row], given: Given) -> Figure:
    """The figure of `draw`."""
    bases = list(dict.fromkeys(row["base"] for row in rows))
    captions = caption_lines([caption(rows, base, given) for base in bases])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = PANEL + 0.9 + foot
    figure = blank(WIDTH, height)
    axis = figure.subplots(1, 1)
    for i, base in enumerate(bases):
        bins = [row for row in rows if (row["base"], row["what"]) == (base, "bin")]
        values, edges = steps(bins)
        axis.stairs(values, edges, color=f"C{i}", label=f"base {base}", linewidth=1.2)
    axis.axvline(given.own.certain, color="0.6", linewidth=1)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("predictive entropy, nats (below 1e-6 in the first bin)")
    axis.set_ylabel("share of the tokens, percent")
    axis.legend(frameon=False)
    figure.subplots_adjust(left=0.09, right=0.98, top=1 - 0.2 / height, bottom=(foot + 0.5) / height)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def steps(bins: Sequence[Row]) -> tuple[list[float], list[float]]:
    """Percent of each half decade from the first bin to the last, and its edges.  A bin without a row holds nothing."""
    share = {round(2 * math.log10(row["low"])): 100 * row["value"] for row in bins}
    every = range(min(share), max(share) + 1)
    return [share.get(k, 0.0) for k in every], [10 ** (k / 2) for k in (*every, every.stop)]


def caption(rows: Sequence[Row], base: int, given: Given) -> str:
    """The two numbers of one base policy."""
    own = {row["what"]: row for row in rows if row["base"] == base}
    return (
        f"base {base}: {100 * own['near certain']['value']:.1f} % of n = {own['near certain']['n']} tokens are below "
        f"{given.own.certain:g} nats (grey line); the {100 * given.own.quantile:g}th percentile is "
        f"{own['quantile']['value']:.3f} nats."
    )
