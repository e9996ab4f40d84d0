"""Read the CSVs of raw measurements; print the table and write table.csv and table.md.  Measures nothing.

python -m benchmarks.table
"""

import argparse
import csv
from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.table.row import Found, Goal, Row, find
from benchmarks.table.rows import all_rows

HERE = Path(__file__).resolve().parents[1]
COLUMNS = ("what", "device", "ours", "unit", "peer", "peer_name", "ratio", "limit", "limit_name", "goal", "reached")
SHOWN = ("what", "device", "ours", "peer's", "ratio", "limit", "goal", "reached")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=HERE, help="where the CSVs are, and the table is written")
    args = parser.parse_args(argv)
    make(all_rows(), args.folder)


def make(rows: Iterable[Row], folder: Path) -> list[Found]:
    """Find every row's figures, write both files, print; the entries in order."""
    entries = [entry for row in rows for entry in find(row, folder)]
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, "revision", "file"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(written(entry) for entry in entries)
    (folder / "table.md").write_text(markdown(entries))
    table = Table(*SHOWN, box=box.SIMPLE)
    for entry in entries:
        table.add_row(*shown(entry))
    Console(width=200).print(table)
    return entries


def written(entry: Found) -> dict[str, str]:
    """The entry as a line of table.csv."""
    row = entry.row
    cells = (row.what, entry.device, digits(entry.ours), row.unit, digits(entry.peer), row.peer_name)
    cells += (digits(entry.ratio), digits(entry.limit), row.limit_name, bound(row.goal), entry.verdict())
    return dict(zip(COLUMNS, cells, strict=True)) | {"revision": entry.revision, "file": row.ours.file}


def shown(entry: Found) -> tuple[str, ...]:
    """The entry as people read it."""
    row = entry.row
    ours = f"{digits(entry.ours)} {row.unit}" if entry.ours is not None else ""
    peer = row.peer_name if entry.peer is None else f"{row.peer_name}: {digits(entry.peer)}"
    limit = f"{row.limit_name}: {digits(entry.limit)}" if entry.limit is not None else ""
    return row.what, entry.device, ours, peer, digits(entry.ratio), limit, bound(row.goal, row.unit), entry.verdict()


def markdown(entries: Iterable[Found]) -> str:
    """The table as a page."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks.table` from the CSVs beside it. `make benchmarks` measures them anew. The",
        "ratio is ours / the peer's. Both were measured side by side in one run. An empty cell was not measured, and",
        "the last column says why. LOG.md says what was expected, what was tried and what cannot be reached.",
        "",
        "| " + " | ".join(SHOWN) + " |",
        "|---|---|---:|---:|---:|---:|---|---|",
    ]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in shown(entry)) + " |" for entry in entries]
    return "\n".join(lines) + "\n"


def bound(goal: Goal, unit: str = "") -> str:
    """The goal in words: of the ratio "x", or of our own figure in its unit."""
    mark, number = ("≤", goal.most) if goal.most is not None else ("≥", goal.least)
    if number is None:
        return ""
    return f"{mark} {number:g}x" if goal.of == "ratio" else f"{mark} {number:,.10g} {unit}".strip()


def digits(number: float | None) -> str:
    """Three significant digits, without an exponent above 1e-4; "" for None."""
    if number is None:
        return ""
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"


if __name__ == "__main__":
    main()
