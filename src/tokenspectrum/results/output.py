"""A query's answer as CSV or Parquet.  Writes in this process, because the locked connection cannot; knows no table."""

import csv
import json
from pathlib import Path
from typing import Any, TextIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tokenspectrum.tokenlog.writer import atomic_path

BATCH = 10_000


def names(answer: duckdb.DuckDBPyConnection) -> list[str]:
    """Column names of an executed query."""
    return [column[0] for column in answer.description]


def cell(value: Any) -> str:
    """A value as text: nothing for null, true and false in lower case, lists and structs as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def write_csv(answer: duckdb.DuckDBPyConnection, out: TextIO) -> None:
    """Header and rows, a batch at a time."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names(answer))
    while rows := answer.fetchmany(BATCH):
        writer.writerows([cell(value) for value in row] for row in rows)


def write_csv_file(answer: duckdb.DuckDBPyConnection, path: Path) -> None:
    """The same to a file, which appears whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as out:
        write_csv(answer, out)


def write_parquet_file(answer: duckdb.DuckDBPyRelation, path: Path) -> None:
    """Rows as Parquet, a batch at a time; the file appears whole or not at all."""
    reader = pa.RecordBatchReader.from_stream(answer)
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
