"""One response, token by token: the tokens by SQL, and the figure."""

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.tables import Tables
from tokenspectrum.results.texts import shown

Row = dict[str, Any]
WIDTH, LINE = 11.0, 0.42  # inches: of the figure, and the height of a line of tokens
CHARACTERS = 125  # of a line
BAR = 0.4  # of a line's height, for the largest predictive entropy


def compute(tables: Tables, given: Given) -> Answer:
    """A row a token of the chosen response of each base policy."""
    layer = resolve_layer(given.own.layer, given["policy"].num_layers)
    return Answer(tables.query("query.sql", macros=["queries/macros.sql"], layer=layer, p=given.own.p))


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """The figure."""
    return strips(rows, given)


def strips(rows: Sequence[Row], given: Given) -> Figure:
    """A block a base policy: tokens on a background of attention entropy, a bar of predictive entropy below each."""
    bases = list(dict.fromkeys(row["base"] for row in rows))
    lines = {base: list(wrapped([r for r in rows if r["base"] == base][: given.own.tokens])) for base in bases}
    captions = caption_lines([caption(rows, given)])
    foot = LINE_HEIGHT * (len(captions) + 1)
    body = sum(LINE * len(of) + 0.3 for of in lines.values()) or LINE
    height = body + foot + 0.5
    figure = blank(WIDTH, height)
    values = [row["attention"] for row in rows] or [0.0]
    scale = Normalize(min(values), max(values))
    most = max((row["predictive"] for row in rows), default=0.0) or 1.0
    top = height - 0.1
    for base in bases:
        size = LINE * len(lines[base]) + 0.3
        axis = figure.add_axes((0.02, (top - size) / height, 0.9, size / height))
        top -= size
        axis.set_xlim(0, CHARACTERS)
        axis.set_ylim(len(lines[base]) + 0.2, -0.7)
        axis.set_axis_off()
        axis.text(0, -0.25, f"base {base}", fontsize=8, va="center")
        _block(axis, lines[base], scale, most)
    colours = matplotlib.cm.ScalarMappable(scale, "YlOrRd")
    bar = figure.add_axes((0.94, (foot + 0.2) / height, 0.012, max(0.1, 1 - (foot + 0.5) / height)))
    figure.colorbar(colours, cax=bar).set_label("attention entropy / ln(visible)", fontsize=7)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def wrapped(rows: Sequence[Row]) -> Iterator[list[tuple[float, Row]]]:
    """Lines of (place in characters, token)."""
    line: list[tuple[float, Row]] = []
    at = 0.0
    for row in rows:
        width = len(shown(row["token"])) + 1
        if line and at + width > CHARACTERS:
            yield line
            line, at = [], 0.0
        line.append((at, row))
        at += width
    if line:
        yield line


def _block(axis: Axes, lines: Sequence[Sequence[tuple[float, Row]]], scale: Normalize, most: float) -> None:
    colours = matplotlib.colormaps["YlOrRd"]
    for y, line in enumerate(lines):
        for x, row in line:
            text = shown(row["token"])
            width = len(text) + 0.8
            axis.add_patch(Rectangle((x, y), width, 0.55, color=colours(scale(row["attention"])), linewidth=0))
            dark = scale(row["attention"]) > 0.7
            axis.text(
                x + width / 2, y + 0.28, text, ha="center", va="center", fontsize=6.5, family="monospace",
                color="white" if dark else "black", parse_math=False,
            )  # fmt: skip
            axis.add_patch(
                Rectangle((x, y + 0.57), width, BAR * row["predictive"] / most, color="steelblue", linewidth=0)
            )


def caption(rows: Sequence[Row], given: Given) -> str:
    """What the figure shows, from what was computed."""
    layers = sorted({row["layer"] for row in rows})
    most = max((row["predictive"] for row in rows), default=0.0)
    among = "of the right ones in groups that are not all right"
    if none := sorted({row["base"] for row in rows if row["among"] == "all"}):
        among += f" (there are none on base {', '.join(map(str, none))}, so of all there)"
    return (
        f"One response of each base policy: {among}, that of median length; its first {given.own.tokens} tokens at "
        f"most. Background: attention entropy at layer {', '.join(map(str, layers))}, alignment "
        f"{given['tokens.alignment']}. Bar below: predictive entropy, the "
        f"longest is {most:.2f} nats."
    )
