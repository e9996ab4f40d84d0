"""Five lenses: pairs of signals, their agreement within responses, and the figure."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.results.ascending import sizes
from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.statistics import holm, t_interval
from tokenspectrum.results.tables import Tables
from tokenspectrum.results.texts import policies

Row = dict[str, Any]
LENSES = ("attention", "predictive", "information", "importance", "variance")
FEWEST = 5
WIDTH, PANEL = 11.0, 2.9  # inches


def compute(tables: Tables, given: Given) -> Answer:
    """Ten rows a base policy."""
    layer = resolve_layer(given.own.layer, given["policy"].num_layers)
    tokens, rows = tables.query("query.sql", layer=layer), []
    for base in dict.fromkeys(token["base"] for token in tokens):
        own = [token for token in tokens if token["base"] == base]
        pairs = [compared(own, *pair, given.own) for pair in itertools.combinations(LENSES, 2)]
        for pair, p in zip(pairs, holm([pair["p"] for pair in pairs]), strict=True):
            rows.append({"base": base, "layer": layer} | pair | {"p_holm": p})
    return Answer(rows)


def compared(tokens: Sequence[Row], one: str, other: str, own: Any) -> Row:
    """Two signals over the responses of one base policy."""
    both = [token for token in tokens if token[one] is not None and token[other] is not None]
    ids = list(dict.fromkeys(token["response_id"] for token in both))
    groups = [[t for t in both if t["response_id"] == r] for r in ids]
    groups = [group for group in groups if len(group) >= FEWEST]
    correlations, overlaps, chances = [], [], []
    for group in groups:
        x, y = ([token[name] for token in group] for name in (one, other))
        if len(set(x)) > 1 and len(set(y)) > 1:
            correlations.append(float(stats.spearmanr(x, y).statistic))
        k = int(sizes(np.array(len(group)), own.p))
        overlaps.append(len(top(group, one, k) & top(group, other, k)) / k)
        chances.append(k / len(group))
    excess = [a - b for a, b in zip(overlaps, chances, strict=True)]
    mean, low, high = _mean(excess, own.alpha)
    spearman, s_low, s_high = _mean(correlations, own.alpha)
    tested = len(set(excess)) > 1
    return {
        "one": one,
        "other": other,
        "responses": len(groups),
        "tokens": sum(map(len, groups)),
        "spearman": spearman,
        "spearman_low": s_low,
        "spearman_high": s_high,
        "overlap": _mean(overlaps, own.alpha)[0],
        "chance": _mean(chances, own.alpha)[0],
        "excess": mean,
        "excess_low": low,
        "excess_high": high,
        "p": float(stats.ttest_1samp(excess, 0, alternative="greater").pvalue) if tested else None,
    }


def top(group: Sequence[Row], name: str, k: int) -> set[int]:
    """Positions of the k tokens with the largest signal."""
    return {token["position"] for token in sorted(group, key=lambda t: (-t[name], t["turn"]))[:k]}


def _mean(values: Sequence[float], alpha: float) -> tuple[float | None, float | None, float | None]:
    """Mean and its t interval; None where there is nothing to take it of."""
    if not values:
        return None, None, None
    mean = float(np.mean(values))
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return mean, *t_interval(mean, sd, len(values), 1 - alpha)


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """The figure."""
    return panels(rows, given)


def panels(rows: Sequence[Row], given: Given) -> Figure:
    """Above rank correlations, below overlaps: a place a pair, a colour a base policy."""
    bases = list(dict.fromkeys(row["base"] for row in rows))
    pairs = list(itertools.combinations(LENSES, 2))
    captions = caption_lines([caption(rows, given)])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = 2 * PANEL + foot + 0.4
    figure = blank(WIDTH, height)
    axes = figure.subplots(2, 1, sharex=True)
    shown = (("spearman", "spearman_low", "spearman_high"), ("excess", "excess_low", "excess_high"))
    for axis, (name, low, high) in zip(axes, shown, strict=True):
        for i, base in enumerate(bases):
            own = [row for row in rows if row["base"] == base and row[name] is not None]
            x = [pairs.index((row["one"], row["other"])) + 0.15 * (i - (len(bases) - 1) / 2) for row in own]
            axis.plot(x, [row[name] for row in own], "o", color=f"C{i}", markersize=4, label=f"base {base}")
            for place, row in zip(x, own, strict=True):
                if row[low] is not None:
                    axis.plot([place, place], [row[low], row[high]], color=f"C{i}", linewidth=1)
        axis.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axes[0].set_ylabel("Spearman's correlation")
    axes[1].set_ylabel("overlap of the top less chance")
    axes[1].set_xticks(range(len(pairs)), [f"{one}\n{other}" for one, other in pairs], fontsize=7)
    axes[0].legend(frameon=False)
    figure.subplots_adjust(left=0.07, right=0.98, top=1 - 0.15 / height, bottom=(foot + 0.4) / height, hspace=0.08)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def caption(rows: Sequence[Row], given: Given) -> str:
    """What the panels show, from what was computed."""
    layers, responses = ({row[name] for row in rows} for name in ("layer", "responses"))
    bases = {row["base"] for row in rows}
    n = " to ".join(map(str, sorted({min(responses, default=0), max(responses, default=0)})))
    return (
        f"Agreement of two signals within a response, means over n = {n} responses of each of "
        f"{policies(len(bases))} with t intervals; attention at layer "
        f"{', '.join(map(str, sorted(layers)))}, alignment {given['tokens.alignment']}; top: p = {given.own.p:g} "
        f"of the tokens of a response."
    )
