"""Rows of a JSON Lines, JSON or Parquet file, each knowing where it stands, so that a complaint can say so.

Knows no benchmark: what the fields mean is the formats' business.
"""

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

    def text(self, *fields: str) -> str:
        """The first of `fields` that the row has, which must be text and not blank."""
        field = next((f for f in fields if self.values.get(f) is not None), fields[0])
        value = self.values.get(field)
        if value is None:
            raise self.error(field, f"missing; the row has {', '.join(sorted(self.values)) or 'no fields'}")
        if not isinstance(value, str):
            raise self.error(field, f"expected text, found {type(value).__name__} {value!r:.60}")
        if not value.strip():
            raise self.error(field, "is empty")
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


def read_rows(path: Path) -> Iterator[Row]:
    """Every record of `path`, in order; a missing, unreadable or malformed file is a UserError naming file and line."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; put it there, or correct prompts.folder or the source's path")
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    if path.suffix not in (".json", ".jsonl"):
        raise UserError(f"{path}: the name must end in .jsonl, .json or .parquet")
    data = path.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise UserError(f"{path} line {line}: not UTF-8 text") from None
    return _jsonl_rows(path, text) if path.suffix == ".jsonl" else _json_rows(path, text)
