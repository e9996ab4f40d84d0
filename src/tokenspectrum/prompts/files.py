"""Rows of a JSON Lines, JSON, CSV or Parquet file, each knowing where it stands, so that a complaint can say so.

Knows no benchmark: what the columns mean is the formats' business.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tokenspectrum.errors import UserError

_SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class Row:
    """One record: `where` names its file and line (or row), `index` counts the file's records from 0."""

    where: str
    index: int
    values: dict[str, Any]

    def error(self, field: str, problem: str) -> UserError:
        """The error that blames `field` of this row."""
        return UserError(f"{self.where}, field {field!r}: {problem}")

    def value(self, name: str | None) -> Any:
        """The value of column `name`, None where it is null or not there.

        A dot in the name goes into a nested column, and a number is a place in a list; a column whose own name has
        that dot comes first.
        """
        if name is None or name in self.values:
            return self.values.get(name)
        value: Any = self.values
        for part in name.split("."):
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                return None
        return value

    def first(self, *names: str) -> str:
        """The first of `names` that the row has a value for, else the first of all."""
        return next((name for name in names if self.value(name) is not None), names[0])

    def has(self, name: str) -> bool:
        """Whether the row has column `name`; null is a value."""
        parent, _, last = name.rpartition(".")
        nested = self.value(parent) if parent else None
        return name in self.values or self.value(name) is not None or (isinstance(nested, dict) and last in nested)

    def missing(self, name: str) -> UserError:
        """The error for a column that the row does not have."""
        return self.error(name, f"missing; the row has {', '.join(sorted(self.values)) or 'no fields'}")

    def text(self, name: str) -> str:
        """Column `name`, which must be text and not blank."""
        value = self.value(name)
        if value is None:
            raise self.missing(name)
        if not isinstance(value, str):
            raise self.error(name, f"expected text, found {type(value).__name__} {value!r:.60}")
        if not value.strip():
            raise self.error(name, "is empty")
        return value.strip()


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    """Objects of a JSON array, with the line on which each begins."""
    decoder, index, line, counted = json.JSONDecoder(), 0, 1, 0
    position = _SPACE.match(text).end()
    if not text.startswith("[", position):
        raise UserError(f"{path} line {_line(text, position)}: expected a JSON array of objects")
    position = _SPACE.match(text, position + 1).end()
    if text.startswith("]", position):
        return
    while True:
        line, counted = line + text.count("\n", counted, position), position
        try:
            values, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as e:
            raise UserError(f"{path} line {e.lineno}: not valid JSON ({e.msg})") from None
        yield _row(f"{path} line {line}", index, values)
        index += 1
        position = _SPACE.match(text, position).end()
        if text.startswith("]", position):
            return
        if not text.startswith(",", position):
            raise UserError(f"{path} line {_line(text, position)}: not valid JSON (expected ',' or ']')")
        position = _SPACE.match(text, position + 1).end()


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _row(where: str, index: int, values: Any) -> Row:
    if not isinstance(values, dict):
        raise UserError(f"{where}: expected an object with named fields, found {type(values).__name__}")
    return Row(where, index, values)


def _jsonl_rows(path: Path, text: str) -> Iterator[Row]:
    index = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except json.JSONDecodeError as e:
            raise UserError(f"{path} line {number}: not valid JSON ({e.msg})") from None
        yield _row(f"{path} line {number}", index, values)
        index += 1


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    """Rows of a CSV file under its header; an empty cell is null."""
    # A solution may be longer than the 128 KiB that the library allows a cell.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    index, line = 0, 1
    try:
        for cells in reader:
            where, line = f"{path} line {line}", reader.line_num + 1
            if not cells:
                continue
            if not header:
                header = _header(where, cells)
                continue
            if len(cells) != len(header):
                raise UserError(f"{where}: {len(cells)} cells under {len(header)} names; quote a cell that has a comma")
            yield Row(where, index, {name: cell or None for name, cell in zip(header, cells, strict=True)})
            index += 1
    except csv.Error as e:
        raise UserError(f"{path} line {reader.line_num}: not valid CSV ({e})") from None


def _header(where: str, names: list[str]) -> list[str]:
    for name in names:
        if not name or names.count(name) > 1:
            raise UserError(f"{where}: the column name {name!r} is {'given twice' if name else 'empty'}")
    return names


def _parquet_rows(path: Path) -> Iterator[Row]:
    index = 0
    try:
        # In batches: one published training set repeats its problems a hundred times.
        for batch in pq.ParquetFile(path).iter_batches(batch_size=4096):
            for values in batch.to_pylist():
                yield Row(f"{path} row {index + 1}", index, values)
                index += 1
    except (pa.ArrowInvalid, OSError) as e:
        raise UserError(f"{path}: not a readable Parquet file ({str(e).splitlines()[0]})") from None


_TEXTS = {".json": _json_rows, ".jsonl": _jsonl_rows, ".csv": _csv_rows}


def read_rows(path: Path) -> Iterator[Row]:
    """Every record of `path`, in order; a missing, unreadable or malformed file is a UserError naming file and line."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; put it there, or correct prompts.folder or the source's path")
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    if path.suffix not in _TEXTS:
        raise UserError(f"{path}: the name must end in .jsonl, .json, .csv or .parquet")
    data = path.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise UserError(f"{path} line {line}: not UTF-8 text") from None
    return _TEXTS[path.suffix](path, text)
