"""Rows of a JSON Lines, JSON, CSV or Parquet file.  Knows no benchmark: the formats say what the columns mean."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tokenspectrum.errors import UserError
from tokenspectrum.prompts.json_rows import json_rows, jsonl_rows
from tokenspectrum.prompts.row import Row


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
        file = pq.ParquetFile(path)
        _header(str(path), file.schema_arrow.names)
        short = {field.name: field.type for field in file.schema_arrow if "float" in str(field.type)}
        # In batches: one published training set repeats its problems a hundred times.
        for batch in file.iter_batches(batch_size=4096):
            for values in batch.to_pylist():
                exact = {name: _as_written(values[name], kind) for name, kind in short.items()}
                yield Row(f"{path} row {index + 1}", index, values | exact)
                index += 1
    # A damaged file is an OSError; text that is no UTF-8 and dates that Python lacks are ValueErrors.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as e:
        where = f" behind row {index}" if index else ""
        reason = (str(e).splitlines() or [type(e).__name__])[0]
        raise UserError(f"{path}{where}: not a readable Parquet file ({reason:.160})") from None


def _as_written(value: Any, kind: pa.DataType) -> Any:
    """A value whose short floats are the numbers that a person wrote: 0.1 in 32 bits is 0.1, not 0.10000000149."""
    if value is None:
        return None
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        # The shortest text that gives these bits back, read again.
        return float(str(kind.to_pandas_dtype()(value)))
    if pa.types.is_dictionary(kind):
        return _as_written(value, kind.value_type)
    if pa.types.is_struct(kind):
        return {field.name: _as_written(value[field.name], field.type) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [_as_written(member, kind.value_type) for member in value]
    return value


_TEXTS = {".json": json_rows, ".jsonl": jsonl_rows, ".csv": _csv_rows}


def read_rows(path: Path) -> Iterator[Row]:
    """Every record of `path`, in order; a missing, unreadable or malformed file is a UserError naming file and line."""
    if not os.path.isfile(path):  # False too for a name that no file system takes
        what = "a folder" if os.path.isdir(path) else "a link to nothing" if os.path.islink(path) else "no such file"
        raise UserError(f"{path}: {what}; put a file there, or correct prompts.folder or the source's path")
    if path.suffix == ".parquet":
        return _parquet_rows(path)
    if path.suffix not in _TEXTS:
        raise UserError(f"{path}: the name must end in .jsonl, .json, .csv or .parquet")
    try:
        data = path.read_bytes()
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror})") from None
    try:
        text = data.decode("utf-8-sig")  # a byte order mark, which some editors write, is no part of the text
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise UserError(f"{path} line {line}: not UTF-8 text") from None
    return _TEXTS[path.suffix](path, text)
