"""Attention rows of an anchor and of an explorer: the rows by SQL, and the figure."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tokenspectrum.errors import UserError
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.results.canvas import LINE_HEIGHT, blank, caption_lines
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.tables import Tables
from tokenspectrum.results.texts import shown

Row = dict[str, Any]
PARTS = ("anchor", "explorer")
WIDTH, PANEL = 11.0, 1.7  # inches


def compute(tables: Tables, given: Given) -> Answer:
    """A row a position that is seen.  UserError where no response of a base policy has rows of both."""
    layer = resolve_layer(given.own.layer, given["policy"].num_layers)
    rows = tables.query("query.sql", macros=["queries/macros.sql"], layer=layer, p=given.own.p)
    for base in given.wanted.bases:
        if not any(row["base"] == base for row in rows):
            raise UserError(
                f"{tables.roots['attention']}: base {base}: no response has rows of an anchor and of an explorer at "
                f"layer {layer}; raise tokens.rows"
            )
    return Answer(rows)


def draw(rows: Sequence[Row], given: Given) -> Figure:
    """The figure."""
    return panels(rows, given)


def panels(rows: Sequence[Row], given: Given) -> Figure:
    """Two panels a base policy, one below the other: the anchor's row, and the explorer's."""
    bases = list(dict.fromkeys(row["base"] for row in rows))
    captions = caption_lines([caption(rows, given)])
    foot = LINE_HEIGHT * (len(captions) + 1)
    height = PANEL * 2 * max(1, len(bases)) + foot + 0.4
    figure = blank(WIDTH, height)
    axes = figure.subplots(2 * max(1, len(bases)), 1, squeeze=False)[:, 0]
    for i, base in enumerate(bases):
        for j, part in enumerate(PARTS):
            own = [row for row in rows if (row["base"], row["part"]) == (base, part)]
            _row(axes[2 * i + j], own, base, given.own.named)
    axes[-1].set_xlabel("position, the prompt's first being 0")
    figure.subplots_adjust(left=0.06, right=0.99, top=1 - 0.25 / height, bottom=(foot + 0.4) / height, hspace=0.75)
    figure.text(0.01, 0.05 / height, "\n".join(captions), fontsize=7, va="bottom")
    return figure


def _row(axis: Axes, own: Sequence[Row], base: int, named: int) -> None:
    part, token = own[0]["part"], shown(own[0]["token"])
    colour = "C0" if part == "anchor" else "C1"
    axis.bar([row["at"] for row in own], [row["weight"] for row in own], width=0.9, color=colour)
    axis.axvline(own[0]["prompt"] - 0.5, color="0.4", linewidth=0.8, linestyle=":")
    for row in sorted(own, key=lambda row: -row["weight"])[:named]:
        axis.text(row["at"], row["weight"], shown(row["there"]), ha="center", va="bottom", fontsize=6, parse_math=False)
    title = f"base {base}, {part} {token!r} at {own[0]['position']} of the response, entropy {own[0]['entropy']:.2f}"
    axis.set_title(title, fontsize=8, parse_math=False)
    axis.set_ylim(0, 1.15 * max(row["weight"] for row in own))
    axis.set_ylabel("attention")


def caption(rows: Sequence[Row], given: Given) -> str:
    """What the panels show, from what was computed."""
    layers = sorted({row["layer"] for row in rows})
    return (
        f"Attention of one anchor and of one explorer of the same response at layer {', '.join(map(str, layers))}, "
        f"mean over heads, p = {given.own.p:g}, alignment {given['tokens.alignment']}. Dotted: where the response "
        f"begins. Tokens are written at the {given.own.named} largest weights."
    )
