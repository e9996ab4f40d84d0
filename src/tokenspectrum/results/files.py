"""Files of a table for exactly the named runs, through manifests, and one query over them.

Knows folders and runs, not what the columns mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from tokenspectrum.results.sql import one_line, view_sql
from tokenspectrum.errors import UserError
from tokenspectrum.tokenlog.reader import check_folder


def table_files(folder: Path, table: str, run: str, seed: int) -> list[str]:
    """Files of a table of one run and seed in a complete, undamaged folder; a UserError if it has others or none."""
    prefix = f"{table}/run={run}/seed={seed}/"
    names = sorted(name for name in check_folder(folder)["files"] if name.endswith(".parquet"))
    if not names:
        raise UserError(f"{folder}: no rows of table {table}; delete it and run its stage again")
    for name in names:
        if not name.startswith(prefix):
            raise UserError(f"{folder / name}: not of run {run} seed {seed}; delete the folder and run its stage again")
    return [(folder / name).as_posix() for name in names]


def metric_files(metrics: Path, methods: Iterable[str], seeds: Sequence[int]) -> list[str]:
    """Files of the table metrics of exactly these methods and seeds."""
    return [name for m in methods for s in seeds for name in table_files(metrics / f"{m}-s{s}", "metrics", m, s)]


def probe_files(folder: Path, table: str) -> list[str]:
    """Files of a table of the base policy's probe in a complete, undamaged folder; a UserError if it has none."""
    names = sorted(name for name in check_folder(folder)["files"] if name.startswith(f"{table}/run=base/"))
    if not names:
        raise UserError(f"{folder}: no rows of table {table} of run base; delete it and run its stage again")
    return [(folder / name).as_posix() for name in names]


def query_rows(table: str, files: Sequence[str], query: str, values: dict[str, object]) -> list[tuple]:
    """Rows of a query over one table in these files, in one thread so that sums keep their order."""
    return query_tables({table: files}, query, values)


def query_tables(
    tables: Mapping[str, Sequence[str]], query: str, values: dict[str, object], macros: str = ""
) -> list[tuple]:
    """The same over several tables, each with its files; `macros` are statements that make those the query uses."""
    with duckdb.connect(config={"threads": 1}) as connection:
        try:
            for table, files in tables.items():
                connection.execute(view_sql(table, files))
            if macros:
                connection.execute(macros)
            return connection.execute(query, values).fetchall()
        except duckdb.Error as e:
            names = " and ".join(tables)
            raise UserError(f"table {names}: {one_line(e)}; run the stage that makes it again") from None
