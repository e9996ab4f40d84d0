"""An in-memory DuckDB that reaches no file and no network, and queries of ours that can only look.

Rows come in as Arrow tables, read by `read.py`.  Every query is a .sql file, has passed the read-only gate, and takes
what the page sends as parameters.  Knows no table.
"""

import re
from functools import cache
from importlib import resources
from typing import Any

import duckdb
import pyarrow as pa

from tokenspectrum.results.readonly import check_query

_COLUMN = re.compile(r"c\d+")
_PARAMETER = re.compile(r"\$([a-z_]+)")


def open_sealed(threads: int) -> duckdb.DuckDBPyConnection:
    """An empty database in memory; its configuration is locked, so nothing opens a file through it any more."""
    connection = duckdb.connect(":memory:", config={"threads": threads})
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET perfect_ht_threshold = 16")  # the cloud's groups are two columns of 65 bins: 14 bits
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    connection.execute(_text("responses.sql"))
    return connection


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Append rows to a table of ours, columns by name."""
    connection.register("arriving", rows)
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM arriving")
    connection.unregister("arriving")


def replace(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    """Fill a table of ours anew."""
    connection.register("arriving", rows)
    connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM arriving")
    connection.unregister("arriving")


@cache
def checked(parts: tuple[str, ...], columns: tuple[tuple[str, str], ...] = ()) -> str:
    """One SELECT from .sql files: the last is its body, those before it are its WITH; it has passed the read-only gate.

    `columns` puts a column of the table `packed` (c0, c1, ...) in the place of each word such as column_x.
    """
    *common, body = (_text(part) for part in parts)
    text = ("WITH " + ", ".join(common) if common else "") + body
    for word, column in columns:
        if not _COLUMN.fullmatch(column):
            raise ValueError(f"{column}: no column of ours")
        text = re.sub(rf"\b{word}\b", column, text)
    return check_query(text).query


def rows(
    connection: duckdb.DuckDBPyConnection, sql: str, values: dict[str, Any]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names and rows of a checked query; values that it does not ask for are left out."""
    wanted = set(_PARAMETER.findall(sql))
    answer = connection.execute(sql, {name: value for name, value in values.items() if name in wanted})
    return [item[0] for item in answer.description], answer.fetchall()


def _text(name: str) -> str:
    return (resources.files("tokenspectrum.view") / "queries" / name).read_text(encoding="utf-8")
