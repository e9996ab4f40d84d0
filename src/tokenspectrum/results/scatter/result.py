"""Attention entropy against predictive entropy: correlations with intervals over responses, and a density."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tokenspectrum.errors import UserError
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.results.blocks import blocks
from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.scatter import ScatterParams
from tokenspectrum.results.scatter.variable import Variable
from tokenspectrum.results.statistics import group_sums, resampled_correlations
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
COLUMNS = ("base", "layer", "what", "r", "ci_low", "ci_high", "attention", "predictive", "tokens", "responses")
BINS = 40
WIDTH, PANEL = 10.0, 2.8  # inches


def compute(tables: Tables, given: Given) -> Answer:
    """Both correlations of every base policy and layer, then the density of the layer that is shown."""
    rows, own = [], given.own
    shown = resolve_layer(own.layer, given["policy"].num_layers)
    layers = tables.query("layers.sql", of=["attention"])
    for base in dict.fromkeys(at["base"] for at in layers):
        with TemporaryDirectory() as folder:
            responses = tables.arrays("tokens_responses.sql", of=["tokens"], base=base)
            each = (tables.arrays("tokens.sql", of=["tokens"], base=base, **block) for block in blocks(responses))
            predictive = Variable(Path(folder), each)
            for layer in [at["layer"] for at in layers if at["base"] == base]:
                of = {"base": base, "layer": layer}
                rows += of_layer(tables, of, predictive, own, layer == shown)
    return Answer(sorted(rows, key=lambda row: row["what"] == "bin"))


def of_layer(tables: Tables, of: dict[str, Any], predictive: Variable, own: ScatterParams, is_shown: bool) -> list[Row]:
    """The rows of a base policy and layer."""
    with TemporaryDirectory() as folder:
        responses = tables.arrays("attention_responses.sql", of=["attention"], **of)
        each = (tables.arrays("attention.sql", of=["attention"], **of, **block) for block in blocks(responses))
        attention = Variable(Path(folder), each)
        if attention.tokens != predictive.tokens:
            raise UserError(
                f"{tables.roots['attention']}: base {of['base']}, layer {of['layer']}: its tokens are not those of "
                f"{tables.roots['tokens']}; run the tokens stage again"
            )
        return list(compared(attention, predictive, of, own, is_shown))


def compared(x: Variable, y: Variable, of: Row, own: ScatterParams, is_shown: bool) -> Iterator[Row]:
    """Both correlations, and the density where it is shown."""
    sums: dict[str, list[np.ndarray]] = {"Pearson": [], "Spearman": []}
    middle = (x.n + 1) / 2
    # The edges that numpy would choose for all tokens.
    edges = np.histogram2d(x.ends, y.ends, BINS)[1:] if is_shown else ()
    count = np.zeros(BINS * BINS, np.int64)
    for n_R, (x_N, x_rank_N), (y_N, y_rank_N) in zip(x.responses, x, y, strict=True):
        sums["Pearson"].append(group_sums(x_N - x.mean, y_N - y.mean, n_R))
        sums["Spearman"].append(group_sums(x_rank_N - middle, y_rank_N - middle, n_R))
        if is_shown:
            i_N, j_N = (bins(*one) for one in zip((x_N, y_N), edges, strict=True))
            count += np.bincount(i_N * BINS + j_N, minlength=BINS * BINS)
    of_KG6 = [np.concatenate(one) for one in sums.values()]
    head = dict.fromkeys(COLUMNS) | of | {"responses": len(of_KG6[0])}
    found = resampled_correlations(of_KG6, own.draws, own.seed, 1 - own.alpha)
    for name, (r, low, high) in zip(sums, found, strict=True):
        yield head | {"what": name, "r": r, "ci_low": low, "ci_high": high, "tokens": x.n}
    for at in np.flatnonzero(count):
        middles = [float(of[k : k + 2].mean()) for of, k in zip(edges, divmod(int(at), BINS), strict=True)]
        yield (
            head
            | {"what": "bin", "tokens": int(count[at])}
            | dict(zip(("attention", "predictive"), middles, strict=True))
        )


def bins(value_N: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """int64 N: the bin of each value; the last one has both its edges, as numpy's has."""
    return np.minimum(np.searchsorted(edges, value_N, side="right") - 1, BINS - 1)


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


def told(row: Row) -> str:
    """A correlation and its interval in words; a constant entropy has none, and one response gives no interval."""
    if row["r"] is None:
        return "is undefined, as an entropy is constant"
    if row["ci_low"] is None:
        return f"= {row['r']:.3f} (one response gives no interval)"
    return f"= {row['r']:.3f} ({row['ci_low']:.3f} to {row['ci_high']:.3f})"


def caption(rows: Sequence[Row], base: int, given: Given) -> str:
    """What the panel of one base policy shows."""
    layer = next(row["layer"] for row in rows if row["what"] == "bin")
    found = {row["what"]: row for row in rows if (row["base"], row["layer"]) == (base, layer)}
    measures = "; ".join(f"{name} r {told(found[name])}" for name in ("Pearson", "Spearman"))
    n = found["Pearson"]
    about = f"n = {n['tokens']} tokens of {n['responses']} responses; {measures}"
    if n["ci_low"] is not None:
        about += ", resampling responses"
    return (
        f"base {base}: normalised attention entropy of layer {layer} against predictive entropy, {about}; alignment "
        f"{given['tokens.alignment']}."
    )
