"""Overlap of high entropy: counts and changes by SQL, replicates here, and the two panels."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tokenspectrum.params.replicates import Replicate
from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.measured import BASE
from tokenspectrum.results.outcome.rows import spread
from tokenspectrum.results.overlap import RESULT
from tokenspectrum.results.statistics import summary, t_interval
from tokenspectrum.results.tables import Tables

Row = dict[str, Any]
EMPTY: Row = dict.fromkeys(column.name for column in RESULT.columns)
FIFTHS = 5


def compute(tables: Tables, given: Given) -> Answer:
    """Base policies among themselves, then each method and kept step: overlap, changes, and the contrast."""
    options = given.own.model_dump(include={"p", "scope", "bins"})
    found: dict[tuple[str, int, int, int], list[Row]] = {}
    for row in tables.query("query.sql", macros=["queries/macros.sql"], **options):
        found.setdefault((row["run"], row["step"], row["seed"], row["base"]), []).append(row)
    rows: list[Row] = []
    pairs = [(key, bins) for key, bins in found.items() if key[0] == BASE and key[2] != key[3]]
    if pairs:
        # A base policy stands in several pairs, so an interval over pairs would be too narrow.
        at = [Replicate(seed=scorer, base=base) for (_, _, scorer, base), _ in pairs]
        rows.append(overlap(given, BASE, 0, at, [bins for _, bins in pairs], interval=False))
    for method in given.methods:
        for step in sorted({key[1] for key in found if key[0] == method}):
            there = [r for r in given.replicates if (method, step, r.seed, r.base) in found]
            of = [found[method, step, r.seed, r.base] for r in there]
            rows.append(overlap(given, method, step, there, of))
            rows += changes(given, method, step, there, of)
            rows += contrast(given, method, step, there, of)
    return Answer(rows)


def overlap(
    given: Given, method: str, step: int, at: Sequence[Replicate], of: Sequence[Sequence[Row]], interval: bool = True
) -> Row:
    """The share of the base's places that are the scoring policy's too, percent."""
    values = [100 * sum(b["shared"] for b in bins) / sum(b["high"] for b in bins) for bins in of]
    high, by_chance = (sum(b[name] for bins in of for b in bins) for name in ("high", "by_chance"))
    row = EMPTY | {"what": "overlap", "method": method, "step": step, "chance": 100 * by_chance / high}
    row |= spread(values, at) | {"tokens": sum(b["tokens"] for bins in of for b in bins)}
    return row | (ends(values, "ci") if interval else {})


def changes(
    given: Given, method: str, step: int, at: Sequence[Replicate], of: Sequence[Sequence[Row]]
) -> Iterator[Row]:
    """A row a bin that every replicate has tokens in."""
    n_bins = given.own.bins
    for number in range(n_bins):
        there = [bin_ for bins in of for bin_ in bins if bin_["bin"] == number]
        if len(there) < len(of):
            continue
        yield (
            EMPTY
            | {"what": "change", "method": method, "step": step}
            | {"low_percentile": 100 * number / n_bins, "high_percentile": 100 * (number + 1) / n_bins}
            | changed([b["change"] for b in there], [b["absolute"] for b in there], at)
            | {"tokens": sum(b["tokens"] for b in there)}
        )


def contrast(
    given: Given, method: str, step: int, at: Sequence[Replicate], of: Sequence[Sequence[Row]]
) -> Iterator[Row]:
    """A row: the top fifth's mean change less that of the others.  None where a replicate has no token in either."""
    gaps: dict[str, list[float]] = {"change": [], "absolute": []}
    # Bins are a multiple of five, so a fifth is made of whole ones.
    first = given.own.bins * (FIFTHS - 1) / FIFTHS
    for bins in of:
        top, rest = [b for b in bins if b["bin"] >= first], [b for b in bins if b["bin"] < first]
        if not top or not rest:
            return
        for name, values in gaps.items():
            values.append(mean_of(top, name) - mean_of(rest, name))
    tokens = sum(b["tokens"] for bins in of for b in bins)
    head = EMPTY | {"what": "contrast", "method": method, "step": step}
    yield head | changed(gaps["change"], gaps["absolute"], at) | {"tokens": tokens}


def mean_of(bins: Sequence[Row], name: str) -> float:
    """The mean over the tokens of these bins."""
    return float(np.average([b[name] for b in bins], weights=[b["tokens"] for b in bins]))


def changed(change: Sequence[float], absolute: Sequence[float], at: Sequence[Replicate]) -> Row:
    """The columns of a change over replicates."""
    row = spread(change, at) | ends(change, "ci")
    return row | {"absolute": float(np.mean(absolute))} | ends(absolute, "absolute_ci")


def ends(values: Sequence[float], name: str) -> Row:
    """The t interval over replicates."""
    of = summary(values)
    low, high = t_interval(of.mean or 0.0, of.sd, of.n)
    return {f"{name}_low": low, f"{name}_high": high}


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """Left: overlap over steps.  Right: change by the base's percentile at each method's last step."""
    labels = given["analysis.table1.labels"]
    own = given.own
    among = next((row for row in rows if (row["what"], row["method"]) == ("overlap", BASE)), None)
    chance = next((row["chance"] for row in rows if row["what"] == "overlap"), 100 * own.p)
    captions = caption_lines(
        [
            f"left: share of the base's {100 * own.p:g} % of tokens of highest predictive entropy, of each "
            f"{'response' if own.scope == 'response' else 'probe'}, that are the trained policy's too; the same "
            f"responses; mean of n = {len(given.replicates)} replicates, band from the lowest to the highest. Dotted: "
            f"chance, {chance:.3g} %."
            + (f" Dashed: two base policies, mean of {among['n']} ordered pairs." if among else ""),
            "right: change of each token's predictive entropy at the last kept step, nats, mean in each bin by the "
            "rank of its entropy under the base policy.",
        ]
    )
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = 2.8 + foot + 0.6
    figure = blank(9.0, height)
    left, right = figure.subplots(1, 2)
    for i, method in enumerate(given.methods):
        line = [row for row in rows if (row["what"], row["method"]) == ("overlap", method)]
        steps = [row["step"] for row in line]
        left.plot(
            steps, [row["mean"] for row in line], "o-", color=f"C{i}", label=labels.get(method, method), markersize=3
        )
        left.fill_between(steps, [r["low"] for r in line], [r["high"] for r in line], color=f"C{i}", alpha=0.15)
        last = [row for row in rows if (row["what"], row["method"], row["step"]) == ("change", method, steps[-1])]
        middle = [(row["low_percentile"] + row["high_percentile"]) / 2 for row in last]
        right.plot(middle, [row["mean"] for row in last], "o-", color=f"C{i}", markersize=3)
    left.axhline(chance, color="0.5", linestyle=":", linewidth=1)
    if among:
        left.axhline(among["mean"], color="0.5", linestyle="--", linewidth=1)
    right.axhline(0, color="0.5", linewidth=0.8)
    left.set_ylim(0, 103)
    left.set_xlabel("training step")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_ylabel(textwrap.fill("overlap with the base policy's places [percent]", 30))
    right.set_xlabel("percentile of the token's entropy under the base policy")
    right.set_ylabel("change of predictive entropy [nats]")
    left.legend(frameon=False, loc="best")
    figure.subplots_adjust(left=0.09, right=0.98, top=1 - 0.15 / height, bottom=(foot + 0.5) / height, wspace=0.25)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure
