"""A query's answer as text, CSV, JSON, Markdown or Parquet.  Writes in this process, because the locked connection
cannot.  Knows no table.
"""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tokenspectrum.errors import UserError
from tokenspectrum.tokenlog.writer import atomic_path

BATCH = 10_000
DIGITS = 4
# DuckDB's SUMMARIZE has these columns as text, since it describes columns of any type.
SUMMARIZED = {"min", "max", "avg", "std", "q25", "q50", "q75"}


def names(answer: duckdb.DuckDBPyConnection) -> list[str]:
    """Column names of an executed query."""
    return [column[0] for column in answer.description]


def rows(answer: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    """Its rows, fetched a batch at a time."""
    while batch := answer.fetchmany(BATCH):
        yield from batch


def plain(value: Any) -> Any:
    """A value as JSON has it: what is no number there, and what JSON does not know, as text or null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def cell(value: Any) -> str:
    """A value as text: nothing for null, true and false in lower case, lists and structs as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return json.dumps(plain(value), ensure_ascii=False)
    return str(value)


def short(value: Any) -> str:
    """A value for a reader: numbers to about four digits, and what would break a line escaped."""
    text = cell(_rounded(value))
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shorts(head: list[str], row: tuple[Any, ...]) -> list[str]:
    """The values of a row for a reader.  Of SUMMARIZE the numbers that stand as text are numbers too."""
    if not {"column_type", *SUMMARIZED} <= set(head) or row[head.index("column_type")] == "VARCHAR":
        return [short(value) for value in row]
    return [short(_number(value) if name in SUMMARIZED else value) for name, value in zip(head, row, strict=True)]


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) and not value.lstrip("-").isdecimal() else value
    except ValueError:
        return value  # a time, a list


def _rounded(value: Any) -> Any:
    if isinstance(value, float) and math.isfinite(value):
        rounded = float(f"{value:.{DIGITS}g}")
        return int(rounded) if rounded.is_integer() and abs(value) >= 10 ** (DIGITS - 1) else rounded
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return value


def write_csv(answer: duckdb.DuckDBPyConnection, out: TextIO) -> None:
    """Header and rows, with all digits."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names(answer))
    writer.writerows([cell(value) for value in row] for row in rows(answer))


def write_json(answer: duckdb.DuckDBPyConnection, out: TextIO) -> None:
    """A list with an object a row, with all digits."""
    head = names(answer)
    out.write("[")
    for i, row in enumerate(rows(answer)):
        record = dict(zip(head, map(plain, row), strict=True))
        out.write(("," if i else "") + "\n" + json.dumps(record, ensure_ascii=False))
    out.write("\n]\n")


def write_markdown(answer: duckdb.DuckDBPyConnection, out: TextIO) -> None:
    """A table for a README or an issue, numbers to about four digits."""
    head = names(answer)
    _markdown_row([short(name) for name in head], out)
    out.write("|" + "---|" * len(head) + "\n")
    for row in rows(answer):
        _markdown_row(shorts(head, row), out)


def _markdown_row(cells: list[str], out: TextIO) -> None:
    escaped = (text.replace("|", "\\|") for text in cells)
    out.write(f"| {' | '.join(escaped)} |\n")


def write_line(answer: duckdb.DuckDBPyConnection, out: TextIO) -> None:
    """A line a column and a blank line between rows: for rows of many columns."""
    named = names(answer)
    head = [short(name) for name in named]
    width = max(map(len, head))
    for i, row in enumerate(rows(answer)):
        out.write("\n" if i else "")
        for name, text in zip(head, shorts(named, row), strict=True):
            out.write(f"{name:>{width}} = {text}\n")


TEXT = {"csv": write_csv, "json": write_json, "markdown": write_markdown, "line": write_line}


def check_target(path: Path, option: str = "--out") -> None:
    """UserError unless `path` may become a file: a folder, a device or a pipe would be replaced or refused late."""
    if path.is_dir():
        raise UserError(f"{option} {path}: a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise UserError(f"{option} {path}: no regular file, and it would be replaced by one; name another")


def write_text_file(answer: duckdb.DuckDBPyConnection, path: Path, kind: str) -> None:
    """The answer in one of the formats of `TEXT`, to a file that appears whole or not at all."""
    check_target(path)
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        TEXT[kind](answer, out)


def write_parquet_file(answer: duckdb.DuckDBPyRelation, path: Path) -> None:
    """Rows as Parquet, a batch at a time; the file appears whole or not at all."""
    check_target(path)
    try:
        reader = pa.RecordBatchReader.from_stream(answer)
        with atomic_path(path) as temporary, pq.ParquetWriter(temporary, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
    except pa.ArrowException as e:
        what = " ".join(str(e).split())
        raise UserError(f"--format parquet: {what}; cast that column, for example to VARCHAR") from None
