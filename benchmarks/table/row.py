"""What a row of the table is: where its figures stand, and what is wanted of them.

Knows CSV files of raw measurements.  Knows no benchmark: the files of benchmarks/table/rows declare those.
"""

import csv
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Line = dict[str, str]
# Older files of raw measurements call it "machine".
DEVICE = ("device", "machine")


@dataclass(frozen=True)
class Cell:
    """One figure: `column` of the lines of a CSV in which the columns of `where` hold the words given.

    Several such lines of one device are repeats: the figure is their median.
    """

    file: str
    column: str
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Goal:
    """A bound, `most` or `least`, of the ratio ours / peer, or of our own figure."""

    most: float | None = None
    least: float | None = None
    of: Literal["ratio", "ours"] = "ratio"


@dataclass(frozen=True)
class Row:
    """What is measured; ours, in `unit`; a peer's, by name; a limit, which none can beat; the goal; who measures."""

    what: str
    unit: str
    ours: Cell
    goal: Goal
    peer_name: str = ""
    peer: Cell | None = None
    limit_name: str = ""
    limit: Cell | None = None
    # Why a row may be empty: said where the file has no such line, or its line has no figure and no word in `why`.
    missing: str = "not measured yet"


@dataclass(frozen=True)
class Script:
    """A benchmark: the words behind `python`, and the artifacts that Snakemake makes first."""

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A row's figures on one device; None where there is none, and then `why`."""

    row: Row
    device: str = ""
    revision: str = ""
    ours: float | None = None
    peer: float | None = None
    limit: float | None = None
    why: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours / the peer's."""
        if self.ours is None or not self.peer:
            return None
        return self.ours / self.peer

    @property
    def reached(self) -> bool | None:
        """None where the figure that the goal is of is missing."""
        value = self._judged()
        if value is None:
            return None
        goal = self.row.goal
        return (goal.most is None or value <= goal.most) and (goal.least is None or value >= goal.least)

    def verdict(self) -> str:
        """Reached or not and by how much, or why there is no figure."""
        value, goal = self._judged(), self.row.goal
        if value is None:
            return self.why or self.row.missing
        bound = goal.most if goal.most is not None else goal.least
        if not bound:
            return "yes" if self.reached else f"no: {value:.3g}"
        share = value / bound - 1
        return f"{'yes' if self.reached else 'no'}, {abs(share):.0%} {'above' if share > 0 else 'below'} it"

    def _judged(self) -> float | None:
        return self.ours if self.row.goal.of == "ours" else self.ratio


def find(row: Row, folder: Path) -> list[Found]:
    """The row's figures, an entry a device; one entry without figures where the file has none."""
    lines = matching(row.ours, folder)
    by_device: dict[str, list[Line]] = {}
    for line in lines:
        by_device.setdefault(device_of(line), []).append(line)
    found = []
    for device, mine in by_device.items():
        ours = figure(mine, row.ours.column)
        peer = _on(row.peer, folder, device)
        why = next((line["why"] for line in mine if line.get("why")), "")
        if ours is None:
            found.append(Found(row, device, mine[-1].get("revision", ""), why=why or row.missing))
            continue
        limit = _on(row.limit, folder, device)
        if row.peer is not None and peer is None:
            theirs = [line.get("why", "") for line in matching(row.peer, folder) if device_of(line) == device]
            why = next((text for text in theirs if text), "") or f"no figure of {row.peer_name}"
        found.append(Found(row, device, mine[-1].get("revision", ""), ours, peer, limit, why))
    return found or [Found(row, why=row.missing)]


def matching(cell: Cell, folder: Path) -> list[Line]:
    """The lines of the cell's file that `where` picks; none where the file is missing."""
    path = folder / cell.file
    if not path.exists():
        return []
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    return [line for line in lines if all(line.get(name) == word for name, word in cell.where.items())]


def figure(lines: list[Line], column: str) -> float | None:
    """The median of the column's numbers; None where no line has one."""
    numbers = [float(line[column]) for line in lines if _is_number(line.get(column))]
    return statistics.median(numbers) if numbers else None


def device_of(line: Line) -> str:
    """The device that a line names, or ""."""
    return next((line[name] for name in DEVICE if line.get(name)), "")


def _on(cell: Cell | None, folder: Path, device: str) -> float | None:
    if cell is None:
        return None
    return figure([line for line in matching(cell, folder) if device_of(line) == device], cell.column)


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True
