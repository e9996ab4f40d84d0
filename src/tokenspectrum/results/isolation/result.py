"""Attention entropy in isolation: correlations and residuals with their intervals, controls, and the figure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.isolation.moments import (
    correlation,
    design,
    partial_correlation,
    ranks,
    residual_mean,
    sums,
)
from tokenspectrum.results.statistics import resampled
from tokenspectrum.results.tables import Tables
from tokenspectrum.results.texts import policies

Row = dict[str, Any]
COVARIATES = ("place", "predictive", "loss")
COLUMNS = (
    "base", "layer", "measure", "what", "subset", "value", "ci_low", "ci_high", "tokens", "responses", "overlap",
)  # fmt: skip
GEOMETRY = ("norm_ratio", "cosine", "proj_ratio")
SHOWN = ("Pearson", "partial Pearson", "Spearman", "partial Spearman", "gap", "residual gap")
WIDTH, PANEL = 10.0, 2.6  # inches


def compute(tables: Tables, given: Given) -> Answer:
    """Single tokens of every base policy and layer, then subsets beside their controls."""
    own, rows = given.own, []
    tokens = tables.query("query.sql", macros=["queries/macros.sql"], p=own.p)
    for (base, layer), group in groupby(tokens, key=lambda t: (t["base"], t["layer"])):
        found = list(group)
        columns = {name: np.array([t[name] for t in found], dtype=np.float64) for name in found[0]}
        for measure in ("share", "cosine"):
            kept_N = ~np.isnan(columns[measure])
            if kept_N.any():
                part = {name: value_N[kept_N] for name, value_N in columns.items()}
                head = dict.fromkeys(COLUMNS) | {"base": base, "layer": layer, "measure": measure}
                rows += [head | row for row in of_tokens(part, measure, own)]
    rows += controls(tables.query("controls.sql", of=["gradients"]), given["gradients.matched"])
    return Answer(rows)


def of_tokens(columns: Mapping[str, np.ndarray], measure: str, own: Any) -> Iterator[Row]:
    """Correlations, partial correlations, gaps and residuals of one measure, with intervals over responses."""
    x_N, y_N, covariates = columns["attention"], columns[measure], [columns[name] for name in COVARIATES]
    _, starts_G = np.unique(columns["response_id"], return_index=True)
    counts_DG = resampled(len(starts_G), own.draws, own.seed) if len(starts_G) > 1 else None
    plain_NM = design(x_N, y_N, covariates, own.degree)
    ranked_NM = design(ranks(x_N), ranks(y_N), [ranks(z_N) for z_N in covariates], own.degree)
    n = {"tokens": len(x_N), "responses": len(starts_G)}

    def row(what: str, value_D: np.ndarray, **more: int) -> Row:
        """The first of `value_D` is of the data as they are, the others of resamples."""
        value, low, high = float(value_D[0]), None, None
        if len(value_D) > 1 and not np.isnan(value_D[1:]).all():
            low, high = (float(q) for q in np.nanquantile(value_D[1:], [own.alpha / 2, 1 - own.alpha / 2]))
        if np.isnan(value):
            value, low, high = None, None, None
        return {"what": what, "value": value, "ci_low": low, "ci_high": high} | n | more

    def drawn(of_G: np.ndarray) -> np.ndarray:
        """The sums of all responses, and those of each resample."""
        total = of_G.sum(0, keepdims=True)
        return total if counts_DG is None else np.concatenate([total, np.tensordot(counts_DG, of_G, axes=1)])

    plain, ranked = drawn(sums(plain_NM, starts_G)), drawn(sums(ranked_NM, starts_G))
    for name, moment in (("Pearson", plain), ("Spearman", ranked)):
        yield row(name, correlation(moment))
        yield row(f"partial {name}", partial_correlation(moment))
    groups = {name: columns[name] > 0 for name in ("anchor", "explorer")}
    of = {name: drawn(np.add.reduceat(plain_NM * mask_N[:, None], starts_G, axis=0)) for name, mask_N in groups.items()}
    counted = {name: int(mask_N.sum()) for name, mask_N in groups.items()}
    bare = {name: residual_mean(plain, of[name], given=False) for name in groups}
    left = {name: residual_mean(plain, of[name], given=True) for name in groups}
    both = counted["anchor"] + counted["explorer"]
    yield row("gap", bare["anchor"] - bare["explorer"], tokens=both)
    yield row("residual gap", left["anchor"] - left["explorer"], tokens=both)
    for name in groups:
        yield row(f"residual of {name}s", left[name], tokens=counted[name])


def controls(geometry: Sequence[Row], matched: Mapping[str, Any]) -> Iterator[Row]:
    """Each subset that has a control: its geometry, the control's, and the difference."""
    at = {(row["base"], row["subset"]): row for row in geometry}
    for base in dict.fromkeys(row["base"] for row in geometry):
        for name, control in matched.items():
            of, by = at[base, control.of], at[base, name]
            for measure in GEOMETRY:
                a, b = of[measure], by[measure]
                less = None if a is None or b is None else a - b
                head = dict.fromkeys(COLUMNS) | {"base": base, "layer": of["layer"], "measure": measure}
                head |= {"subset": control.of, "overlap": by["overlap"]}
                yield head | {"what": "subset", "value": a, "tokens": of["tokens"]}
                yield head | {"what": "control", "value": b, "tokens": by["tokens"]}
                yield head | {"what": "subset less control", "value": less, "tokens": of["tokens"]}


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """The figure."""
    return panels(rows, given)


def panels(rows: Sequence[Row], given: Given) -> Figure:
    """A panel a measure of single tokens: each number with its interval, a colour a base policy, a mark a layer."""
    own = [row for row in rows if row["what"] in SHOWN and row["value"] is not None]
    measures = list(dict.fromkeys(row["measure"] for row in own))
    bases, layers = (sorted({row[name] for row in own}) for name in ("base", "layer"))
    captions = caption_lines([caption(own, given)])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = PANEL + 0.9 + foot
    figure = blank(WIDTH, height)
    axes = figure.subplots(1, max(1, len(measures)), squeeze=False)[0]
    for axis, measure in zip(axes, measures, strict=False):
        for i, base in enumerate(bases):
            for j, layer in enumerate(layers):
                of = [r for r in own if (r["measure"], r["base"], r["layer"]) == (measure, base, layer)]
                shift = (i * len(layers) + j + 0.5) / (len(bases) * len(layers)) - 0.5
                x = [SHOWN.index(row["what"]) + 0.7 * shift for row in of]
                label = f"base {base}" if j == 0 else None
                axis.plot(x, [row["value"] for row in of], "o", color=f"C{i}", markersize=3, label=label)
                for place, row in zip(x, of, strict=True):
                    if row["ci_low"] is not None:
                        axis.plot([place, place], [row["ci_low"], row["ci_high"]], color=f"C{i}", linewidth=1)
        axis.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        axis.set_xticks(range(len(SHOWN)), [what.replace(" ", "\n", 1) for what in SHOWN])
        axis.set_title(f"{measure} of single tokens", fontsize=8)
    if own:
        axes[0].legend(frameon=False)
    figure.subplots_adjust(left=0.06, right=0.98, top=1 - 0.35 / height, bottom=(foot + 0.55) / height, wspace=0.15)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def caption(rows: Sequence[Row], given: Given) -> str:
    """What the panels show, from what was computed."""
    bases, layers = ({row[name] for row in rows} for name in ("base", "layer"))
    responses = max((row["responses"] for row in rows), default=0)
    return (
        f"Attention entropy against a token's part in the update, alone and given relative position, predictive "
        f"entropy and |A| (powers up to {given.own.degree}); gaps are anchors less explorers, p = {given.own.p:g} of "
        f"each response. Of each of {policies(len(bases))} {len(layers)} layers, in order; intervals resample up "
        f"to n = {responses} responses {given.own.draws} times; alignment {given['tokens.alignment']}."
    )
