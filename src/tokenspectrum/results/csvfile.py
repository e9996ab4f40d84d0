"""A result's CSV: its rows as text, and back.  Knows columns, not what they mean."""

import contextlib
import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.results.declare import Column, Value
from tokenspectrum.results.numbers import number

Row = dict[str, Value]


def spread(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """A column for each of `names`, in order.  ValueError where they are not those that `columns` declare."""
    out, left = [], list(names)
    for i, column in enumerate(columns):
        if not column.name.startswith("<"):
            if not left or left[0] != column.name:
                raise ValueError(
                    f"column {column.name} is declared, but the rows have {left[0] if left else 'no more'}"
                )
            out.append(column)
            left.pop(0)
            continue
        following = columns[i + 1].name if i + 1 < len(columns) else None
        while left and left[0] != following:
            out.append(column._replace(name=left.pop(0)))
    if left:
        raise ValueError(f"the rows have the column {left[0]}, which is not declared")
    return out


def to_csv(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """The rows as CSV, floats to four decimals.  ValueError where they are not of the declared columns and types.

    UserError for a float that is not finite: what is not known is None, and a NaN is what a table that was read holds.
    """
    names = list(rows[0]) if rows else [c.name for c in columns if not c.name.startswith("<")]
    kinds = spread(columns, names)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        if list(row) != names:
            raise ValueError(f"rows differ in their columns: {names} and {list(row)}")
        for column, value in zip(kinds, row.values(), strict=True):
            if value is not None and type(value) is not column.kind:
                raise ValueError(f"column {column.name}: {value!r} is not of type {column.kind.__name__}")
            if isinstance(value, float) and not math.isfinite(value):
                of = ", ".join(f"{name} {row[name]}" for name in names[: names.index(column.name)][:5])
                raise UserError(
                    f"column {column.name} of the result is {value}, in the row of {of or 'no name'}: a table that it"
                    " reads holds values that are not finite; find them with `spectrum sql`, and make it again"
                )
        writer.writerow(map(number, row.values()))
    return out.getvalue()


def read_plain(path: Path) -> list[Row]:
    """The rows of another result's CSV, whose declaration is not at hand: a cell that reads as a number is one.

    A CSV holds no NaN and no digits in groups, so `nan` and `10_20` are names.
    """
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> Value:
    if text.lstrip("+-").lower() in ("nan", "inf", "infinity") or "_" in text:
        return text
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text or None


def read_csv(columns: Sequence[Column], path: Path) -> list[Row]:
    """The rows of a result's CSV, with the types that `columns` declare; an empty cell is None."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    kinds = spread(columns, header)
    return [{c.name: c.kind(text) if text else None for c, text in zip(kinds, line, strict=True)} for line in lines]
