"""What does not agree, and how much was compared.  Knows no table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MOST = 3  # lines of one field of one file
Values = Sequence[Any] | np.ndarray


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: file, row (0-based, None: the file as a whole), field, and what."""

    file: Path
    row: int | None
    field: str
    what: str

    def __str__(self) -> str:
        where = "" if self.row is None else f"row {self.row}: "
        return f"{self.file}: {where}{self.field}: {self.what}"


def _text(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float | np.floating) else repr(value)


@dataclass
class Report:
    """Findings in the order they were met, and the number of values of each kind that were compared."""

    findings: list[Finding] = field(default_factory=list)
    compared: Counter[str] = field(default_factory=Counter)

    def wrong(self, file: Path, row: int | None, name: str, what: str) -> None:
        """Note one thing that is wrong."""
        self.findings.append(Finding(file, row, name, what))

    def same(self, kind: str, file: Path, name: str, logged: Values, wanted: Values, tolerance: float = 0.0) -> None:
        """Compare a column with what it should be, which may be NaN.

        `tolerance` is absolute and relative to what it should be.
        """
        logged_n, wanted_n = np.asarray(logged), np.asarray(wanted)
        self.compared[kind] += len(logged_n)
        if logged_n.shape != wanted_n.shape:
            self.wrong(file, None, name, f"{len(logged_n)} rows, should be {len(wanted_n)}")
            return
        if tolerance:
            apart_n = np.abs(logged_n.astype(float) - wanted_n.astype(float))
            bad_n = ~(apart_n <= tolerance * (1 + np.abs(wanted_n.astype(float))))
        else:
            bad_n = logged_n != wanted_n
        bad_n &= ~((logged_n != logged_n) & (wanted_n != wanted_n))  # NaN, of any type
        self._rows(file, name, bad_n, lambda i: f"{_text(logged[i])}, should be {_text(wanted[i])}")

    def within(self, kind: str, file: Path, name: str, logged: Any, low: Any, high: Any) -> None:
        """Compare a column with its bounds, each a number or one for every row; NaN is out of them."""
        value_n = np.asarray(logged, float)
        self.compared[kind] += len(value_n)
        low_n, high_n = np.broadcast_to(low, value_n.shape), np.broadcast_to(high, value_n.shape)
        bad_n = ~((value_n >= low_n) & (value_n <= high_n))
        self._rows(file, name, bad_n, lambda i: f"{value_n[i]:.9g}, outside {low_n[i]:.6g} to {high_n[i]:.6g}")

    def _rows(self, file: Path, name: str, bad_n: np.ndarray, what: Any) -> None:
        rows = np.flatnonzero(bad_n).tolist()
        for i in rows[:MOST]:
            self.wrong(file, i, name, what(i))
        if len(rows) > MOST:
            self.wrong(file, None, name, f"and {len(rows) - MOST} more rows")
