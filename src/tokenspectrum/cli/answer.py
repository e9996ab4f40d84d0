"""An answer of `spectrum sql` as a table: cut to the terminal's width there, whole in a pipe."""

import sys
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenspectrum.results.output import names, short, shorts

WIDEST = 60  # of a cell on a terminal
BORDER = 3  # of a column


def fit(widths: list[int], room: int) -> list[int]:
    """The columns that a table of `room` shows: as many as fit, from both ends inwards."""
    if sum(width + BORDER for width in widths) + 1 <= room:
        return list(range(len(widths)))
    left: list[int] = []
    right: list[int] = []
    used = BORDER + 2  # the column that stands for those left out
    for turn in range(len(widths)):
        i = turn // 2 if turn % 2 == 0 else len(widths) - 1 - turn // 2
        used += widths[i] + BORDER
        if used > room and left:
            break
        (left if turn % 2 == 0 else right).append(i)
    return left + right[::-1]


def _cut(text: str) -> str:
    return text if cell_len(text) <= WIDEST else set_cell_size(text, WIDEST - 1).rstrip() + "…"


def show(answer: Any, explain: bool, most: int) -> None:
    """Draw the first `most` rows; a plan is printed as it is."""
    console = Console()
    is_terminal = console.is_terminal
    rows = answer.fetchmany(most + 1)
    if explain:
        for row in rows:
            print(row[-1])
        return
    named = names(answer)
    head = [short(name) for name in named]
    cells = [shorts(named, row) for row in rows[:most]]
    if is_terminal:
        cells = [[_cut(text) for text in row] for row in cells]
    widths = [max(map(cell_len, column)) for column in zip(head, *cells, strict=True)]
    shown = fit(widths, console.width) if is_terminal else list(range(len(head)))
    gap = next((n for n in range(1, len(shown)) if shown[n] != shown[n - 1] + 1), len(shown))
    is_cut = len(shown) < len(head)
    table = Table()
    numeric = [all(isinstance(row[i], int | float) or row[i] is None for row in rows) for i in range(len(head))]
    for n, i in enumerate(shown):
        if is_cut and n == gap:
            table.add_column("…")
        table.add_column(Text(head[i]), no_wrap=True, justify="right" if numeric[i] and rows else "left")
    if is_cut and gap == len(shown):
        table.add_column("…")
    for row in cells:
        kept = [Text(row[i]) for i in shown]
        table.add_row(*kept[:gap], *[Text("…")] * is_cut, *kept[gap:])
    wide = console.width if is_terminal else sum(widths) + BORDER * len(head) + 1
    Console(width=max(wide, 1)).print(table)
    if is_cut:
        print(f"{len(shown)} of {len(head)} columns; --format line shows them all", file=sys.stderr)
    if len(rows) > most:
        print(f"first {most} rows; --format csv gives them all", file=sys.stderr)
