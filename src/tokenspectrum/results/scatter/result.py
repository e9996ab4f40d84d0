"""Attention entropy against predictive entropy: correlations with intervals over responses, and a density."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from tokenspectrum.errors import UserError
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.statistics import resampled_correlation
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
COLUMNS = ("base", "layer", "what", "r", "ci_low", "ci_high", "attention", "predictive", "tokens", "responses")
BINS, BLOCK = 40, 1_000_000
WIDTH, PANEL = 10.0, 2.8  # inches


def compute(tables: Tables, given: Given) -> Answer:
    """Both correlations of every base policy and layer, then the density of the layer that is shown."""
    rows, own = [], given.own
    shown = resolve_layer(own.layer, given["policy"].num_layers)
    layers = tables.query("layers.sql", of=["attention"])
    for base in dict.fromkeys(at["base"] for at in layers):
        key, y = in_order(tables.arrays("tokens.sql", of=["tokens"], base=base))
        response, y_rank = key >> 32, stats.rankdata(y)
        responses = int((response[1:] > response[:-1]).sum()) + 1
        for layer in [at["layer"] for at in layers if at["base"] == base]:
            x_key, x = in_order(tables.arrays("attention.sql", of=["attention"], base=base, layer=layer))
            if not np.array_equal(x_key, key):
                raise UserError(
                    f"{tables.roots['attention']}: base {base}, layer {layer}: its tokens are not those of "
                    f"{tables.roots['tokens']}; run the tokens stage again"
                )
            head = dict.fromkeys(COLUMNS) | {"base": base, "layer": layer, "responses": responses}
            for name in ("Pearson", "Spearman"):
                a, b = (x, y) if name == "Pearson" else (stats.rankdata(x), y_rank)
                r, low, high = resampled_correlation(a, b, response, own.draws, own.seed, 1 - own.alpha)
                rows.append(head | {"what": name, "r": r, "ci_low": low, "ci_high": high, "tokens": len(x)})
            if layer == shown:
                rows += density(x, y, head)
    return Answer(sorted(rows, key=lambda row: row["what"] == "bin"))


def in_order(columns: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """int64 N: response and position as one number, ascending; and the value of each, float32.

    The tables are written in that order, so mostly nothing is sorted.
    """
    key_N = (columns["response_id"].astype(np.int64) << 32) + columns["position"]
    if (key_N[1:] < key_N[:-1]).any():
        order_N = np.argsort(key_N)
        return key_N[order_N], columns["value"][order_N]
    return key_N, columns["value"]


def density(x: np.ndarray, y: np.ndarray, head: Row) -> Iterator[Row]:
    """A row a bin that holds tokens: the middle of it, and how many."""
    # The edges that numpy would choose.  It takes some 60 bytes a token, so it is given a part of them at a time.
    ends = [np.array([values.min(), values.max()], np.float64) for values in (x, y)]
    _, x_edges, y_edges = np.histogram2d(ends[0], ends[1], BINS)
    count = np.zeros((BINS, BINS))
    for at in range(0, len(x), BLOCK):
        count += np.histogram2d(x[at : at + BLOCK], y[at : at + BLOCK], (x_edges, y_edges))[0]
    for i, j in np.argwhere(count > 0):
        middle = {"attention": x_edges[i : i + 2].mean(), "predictive": y_edges[j : j + 2].mean()}
        yield head | {"what": "bin", "tokens": int(count[i, j])} | {k: float(v) for k, v in middle.items()}


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """A density a base policy."""
    return panels(rows, given)


def panels(rows: Sequence[Row], given: Given) -> Figure:
    """The figure of `draw`: darker is more tokens, on a log scale."""
    bins = [row for row in rows if row["what"] == "bin"]
    bases = list(dict.fromkeys(row["base"] for row in bins))
    captions = caption_lines([caption(rows, base, given) for base in bases])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = PANEL + 0.9 + foot
    figure = blank(WIDTH, height)
    axes = figure.subplots(1, max(1, len(bases)), sharey=True, squeeze=False)[0]
    for axis, base in zip(axes, bases, strict=False):
        own = [row for row in bins if row["base"] == base]
        x, y, tokens = (np.array([row[name] for row in own]) for name in ("attention", "predictive", "tokens"))
        (i, x_edges), (j, y_edges) = cells(x), cells(y)
        shade = np.full((len(y_edges) - 1, len(x_edges) - 1), np.nan)
        shade[j, i] = np.log(tokens)
        axis.pcolormesh(x_edges, y_edges, shade, cmap="Blues")
        axis.set_facecolor("0.97")
        axis.set_title(f"base {base}", fontsize=8)
        axis.set_xlabel("attention entropy over its largest value")
    axes[0].set_ylabel("predictive entropy, nats")
    figure.subplots_adjust(left=0.07, right=0.98, top=1 - 0.35 / height, bottom=(foot + 0.55) / height, wspace=0.1)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def cells(middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cell of each bin along an axis, and the edges of the cells, from the bins' middles."""
    known = np.unique(middle)
    gaps = np.diff(known)
    # The CSV rounds, so the gaps between neighbours differ a little; a wider gap has empty bins in it.
    step = gaps[gaps < 1.5 * gaps.min()].mean() if len(gaps) else 1.0
    cell = np.rint((middle - known[0]) / step).astype(int)
    return cell, known[0] + step * (np.arange(cell.max() + 2) - 0.5)


def caption(rows: Sequence[Row], base: int, given: Given) -> str:
    """What the panel of one base policy shows."""
    layer = next(row["layer"] for row in rows if row["what"] == "bin")
    found = {row["what"]: row for row in rows if (row["base"], row["layer"]) == (base, layer)}
    measures = "; ".join(
        f"{name} r = {found[name]['r']:.3f} ({found[name]['ci_low']:.3f} to {found[name]['ci_high']:.3f})"
        for name in ("Pearson", "Spearman")
    )
    n = found["Pearson"]
    about = f"n = {n['tokens']} tokens of {n['responses']} responses; {measures}, resampling responses"
    return (
        f"base {base}: normalised attention entropy of layer {layer} against predictive entropy, {about}; alignment "
        f"{given['tokens.alignment']}."
    )
