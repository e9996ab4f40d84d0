"""Agreement of layers: every pair and their heat maps; and what each layer's own masks are like."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenspectrum.errors import UserError
from tokenspectrum.results.block_tokens import check_numbers, in_responses
from tokenspectrum.results.blocks import blocks
from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.layers.rankings import MEASURES, PARTS, compared, parts, ranking
from tokenspectrum.results.layers.words import AgreementSpec
from tokenspectrum.results.statistics import t_interval
from tokenspectrum.results.tables import Tables

PREDICTIVE = "predictive_entropy"
OF_PAIRS = (
    "responses", "tokens", "anchor_jaccard", "anchor_jaccard_pooled", "explorer_jaccard", "explorer_jaccard_pooled",
    "random_jaccard", "random_jaccard_pooled", "spearman", "spearman_responses",
)  # fmt: skip
MEASURED = (*MEASURES, "norm_ratio", "cosine", "proj_ratio")
OF_LAYERS = ("part", "measure", "value", "ci_low", "ci_high")
WIDTH, PANEL, LEFT, GAP, TOP, BOTTOM = 12.0, 2.6, 0.8, 1.25, 0.3, 0.9  # inches
MOST_NUMBERED = 10  # rankings up to which cells show their numbers
MOST_TICKS = 19  # labels that fit along an axis
LINES = 1.5  # inches: height of the panels of lines
COLOURS = {"anchors": "C0", "explorers": "C1", "all": "0.6"}
EACH = (
    "each layer: anchors (blue), explorers (orange) and all tokens (grey) by the layer's own score, a line a base "
    "policy; support_80: positions that hold 80 % of the attention; norm ratio under the denominator selected, the "
    "others under all."
)
# Panel -> column that it shows, colours, and whether the scale is the same below 0 as above.
PANELS = {
    "anchors": ("anchor_jaccard", "viridis", False),
    "explorers": ("explorer_jaccard", "viridis", False),
    "ranks": ("spearman", "RdBu_r", True),
}

Pair = dict[str, Any]


def compute(tables: Tables, given: Given) -> Answer:
    """Every pair of every base policy, layers ascending and predictive entropy last; then each layer by itself.

    Raises UserError where the probe has one layer alone, or not the same tokens everywhere.
    """
    attention, tokens = tables.roots["attention"], tables.roots["tokens"]
    layers: dict[int, list[int]] = {}
    for at in tables.query("layers.sql", of=["attention"]):
        layers.setdefault(at["base"], []).append(at["layer"])
    if all(len(own) < 2 for own in layers.values()):
        alone = f"layer {min(layers.values())[0]} alone" if layers else "no token at any layer"
        raise UserError(
            f"{attention}: holds {alone}, so no two layers can be compared; set tokens.layers to all, or list several"
        )
    found: list[pa.Table] = []
    own: dict[tuple[int, int], list[pa.Table]] = {(base, layer): [] for base in layers for layer in layers[base]}
    for block in blocks(tables.arrays("responses.sql", of=["attention", "tokens"])):
        base, deepest = block["base"], block.pop("deepest")
        where, predicted = in_responses(tables.arrays("predictive.sql", of=["tokens"], **block))
        rankings = {}
        for layer in layers[base]:
            asked: dict[str, Any] = block | {"layer": layer, "score": given.own.score}
            here, columns = in_responses(tables.arrays("scores.sql", of=["attention"], **asked))
            where.check_same(here, attention, tokens)
            value_N = check_numbers(columns.pop("value"), f"{attention}: layer {layer}")
            rankings[layer] = ranking(value_N, where, given.own.p)
            own[base, layer].append(parts(base, layer, where, rankings[layer], columns))
        rankings[deepest + 1] = ranking(predicted["value"], where, given.own.p)
        found += compared(base, where, rankings)
    pairs = tables.over("means.sql", compared=pa.concat_tables(found))
    each = [row for of in own.values() for row in tables.over("each.sql", by_response=pa.concat_tables(of))]
    each += tables.query("geometry.sql", of=["gradients"])
    nothing = dict.fromkeys(OF_LAYERS)
    return Answer([pair | nothing for pair in pairs] + [of_layer(row) for row in sorted(each, key=place)])


def place(row: Pair) -> tuple[int, int, int, int]:
    """Where a row of one layer stands in the table."""
    return row["base"], int(row["layer"]), MEASURED.index(row["measure"]), PARTS.index(row["part"])


def of_layer(row: Pair) -> Pair:
    """A row of one layer, with the interval of a mean over responses."""
    low, high = t_interval(row["value"], row["sd"], row["responses"] or 0)
    head = {"base": row["base"], "layer": row["layer"], "other": None} | dict.fromkeys(OF_PAIRS)
    return head | {name: row[name] for name in ("part", "measure", "value")} | {"ci_low": low, "ci_high": high}


def by_base(pairs: Sequence[Pair]) -> dict[int, list[Pair]]:
    """The pairs of each base policy."""
    found: dict[int, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(pair["base"], []).append(pair)
    return found


def draw(pairs: Sequence[Pair], given: Given) -> Figure:
    """Three heat maps a base policy: anchors, explorers, ranks; below, each layer by itself."""
    each = [row for row in pairs if row["other"] is None]
    pairs = [row for row in pairs if row["other"] is not None]
    return heat_maps(pairs, specs(pairs, given.own.p, given.own.score, given["tokens.alignment"]), each)


def specs(pairs: Sequence[Pair], p: float, score: str, alignment: str) -> list[AgreementSpec]:
    """What each panel shows."""

    def ends(column: str) -> tuple[Any, Any]:
        values = [pair[column] for pair in pairs]
        return min(values), max(values)

    def spec(compared: str, responses: str, random: tuple[float, float] | None) -> AgreementSpec:
        bases = tuple(by_base(pairs))
        return AgreementSpec(compared, score, alignment, p, bases, ends(responses), ends("tokens"), random)

    return [
        spec("anchors", "responses", ends("random_jaccard")),
        spec("explorers", "responses", ends("random_jaccard")),
        spec("ranks", "spearman_responses", None),
    ]


def matrix(pairs: Sequence[Pair], column: str) -> tuple[list[str], np.ndarray]:
    """Names of the rankings (L), and a column of every pair (L, L): symmetric, NaN for None and on the diagonal.

    The pairs are of one base policy.
    """
    names = list(dict.fromkeys([*(pair["layer"] for pair in pairs), *(pair["other"] for pair in pairs)]))
    value_LL = np.full((len(names), len(names)), np.nan)
    for pair in pairs:
        i, j = names.index(pair["layer"]), names.index(pair["other"])
        value = pair[column]
        value_LL[i, j] = value_LL[j, i] = np.nan if value is None else value
    return names, value_LL


def heat_maps(pairs: Sequence[Pair], panels: Sequence[AgreementSpec], each: Sequence[Pair] = ()) -> Figure:
    """A row of heat maps for each base policy, one for each spec, then a row of lines, with their captions below."""
    captions = caption_lines([*(spec.caption for spec in panels), *([EACH] if each else [])])
    lines = TOP + LINES + BOTTOM if each else 0.0
    foot = LINE_HEIGHT * (len(captions) + 1) + lines
    rows = by_base(pairs)
    height = (TOP + PANEL + BOTTOM) * len(rows) + foot
    figure = blank(WIDTH, height)
    for row, (base, own) in enumerate(reversed(rows.items())):
        bottom = row * (TOP + PANEL + BOTTOM) + BOTTOM + foot
        for i, spec in enumerate(panels):
            left = LEFT + i * (PANEL + GAP)
            axis = figure.add_axes((left / WIDTH, bottom / height, PANEL / WIDTH, PANEL / height))
            scale = figure.add_axes(((left + PANEL + 0.08) / WIDTH, bottom / height, 0.1 / WIDTH, PANEL / height))
            axis.set_title(spec.title(base))
            _heat_map(axis, scale, spec, own, ends_of(pairs, spec.compared))
    if each:
        by_layer(figure, each, foot - lines + BOTTOM / 2, height)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def by_layer(figure: Figure, each: Sequence[Pair], bottom: float, height: float) -> None:
    """A panel a measure: anchors and explorers over layers, a line a base policy."""
    measures = list(dict.fromkeys(row["measure"] for row in each))
    layers = sorted({int(row["layer"]) for row in each})
    width = (WIDTH - LEFT) / len(measures)
    for i, measure in enumerate(measures):
        place = ((LEFT + i * width) / WIDTH, bottom / height, (width - 0.45) / WIDTH, LINES / height)
        axis = figure.add_axes(place)
        for base in dict.fromkeys(row["base"] for row in each):
            for part, colour in COLOURS.items():
                own = [r for r in each if (r["base"], r["part"], r["measure"]) == (base, part, measure)]
                own = [row for row in own if row["value"] is not None]
                values = [row["value"] for row in own]
                axis.plot([int(r["layer"]) for r in own], values, "o-", color=colour, markersize=3, linewidth=1)
        axis.set_title(measure, fontsize=8)
        axis.set_xticks(layers[:: 1 + len(layers) // 9])
        axis.set_xlabel("layer")


def ends_of(pairs: Sequence[Pair], compared: str) -> tuple[float, float]:
    """The colour scale of a panel, the same for all base policies: from 0, or from below 0, to the furthest value."""
    column, _, both_ways = PANELS[compared]
    furthest = max((abs(pair[column]) for pair in pairs if pair[column] is not None), default=0.0)
    if compared != "ranks":
        furthest = max([furthest, *(pair["random_jaccard"] for pair in pairs)])
    furthest = furthest or 1.0
    return (-furthest if both_ways else 0.0), furthest


def _heat_map(axis: Axes, scale: Axes, spec: AgreementSpec, pairs: Sequence[Pair], ends: tuple[float, float]) -> None:
    column, colours, _ = PANELS[spec.compared]
    names, value_LL = matrix(pairs, column)
    image = axis.imshow(value_LL, cmap=colours, vmin=ends[0], vmax=ends[1], interpolation="nearest")
    axis.set_facecolor("0.9")  # the diagonal, where a layer agrees with itself
    last = len(names) - 1
    every = 1 + last // MOST_TICKS
    places = [*range(0, last - every + 1, every), last]
    labels = [names[i].removesuffix("_entropy") for i in places]
    axis.set_xticks(places, labels, rotation=90)
    axis.set_yticks(places, labels)
    axis.set_xlabel(spec.axis_label)
    if len(names) <= MOST_NUMBERED:
        for i, j in np.argwhere(~np.isnan(value_LL)):
            red, green, blue, _ = image.cmap(image.norm(value_LL[i, j]))
            ink = "black" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"
            axis.text(j, i, f"{value_LL[i, j]:.2f}", ha="center", va="center", fontsize=7, color=ink)
    axis.figure.colorbar(image, cax=scale)
    if spec.random is not None:
        scale.axhline(pairs[0]["random_jaccard"], color="white", linewidth=1.5)
