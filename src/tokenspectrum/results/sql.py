"""The queries that ship with the code, views over files, and DuckDB's messages as one line.  Knows no table."""

from collections.abc import Sequence
from importlib import resources

import duckdb
import pyarrow as pa

HIVE_KEYS = ("run", "seed", "step")


def query_text(name: str, package: str = "tokenspectrum.results") -> str:
    """The text of the SQL file `name` in `package`: a result gives its own, `__package__`.

    Name the file by a literal: so it is found, and stands in the code deps of the stages that use it.
    """
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def one_line(error: Exception) -> str:
    """A DuckDB message as one line, without the excerpt of the query that it ends in."""
    lines = [line.strip() for line in str(error).split("\nLINE ")[0].splitlines() if line.strip()]
    return " ".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def view_sql(table: str, files: Sequence[str]) -> str:
    """CREATE OR REPLACE VIEW over these files, with the Hive keys that their paths carry as typed leading columns.

    The list is one text, split by the database: of 100,000 files it is parsed and stored in half the time of as many
    constants.
    """
    keys = [k for k in HIVE_KEYS if f"/{k}=" in files[0]]
    types = ", ".join(f"{_quoted(k)}: {'VARCHAR' if k == 'run' else 'INTEGER'}" for k in keys)
    hive = f"hive_partitioning = true, hive_types = {{{types}}}" if keys else "hive_partitioning = false"
    lead = f"{', '.join(keys)}, * EXCLUDE ({', '.join(keys)})" if keys else "*"
    listed = _quoted("\n".join(files))
    return f"CREATE OR REPLACE VIEW {table} AS SELECT {lead} FROM read_parquet(string_split({listed}, chr(10)), {hive})"


def _known(kind: pa.DataType) -> pa.DataType:
    """The type that DuckDB reads from Parquet: it has no float of 16 bits."""
    if pa.types.is_list(kind):
        return pa.list_(_known(kind.value_type))
    return pa.float32() if pa.types.is_float16(kind) else kind


def empty_view_sql(table: str, schema: pa.Schema) -> str:
    """CREATE VIEW with the columns of `schema` and no row, for a table that no stage has filled yet."""
    kinds = pa.schema([(f.name, _known(f.type)) for f in schema])
    columns = duckdb.from_arrow(pa.Table.from_batches([], kinds))  # empty_table() would import pandas
    keys = [key for key in HIVE_KEYS if key in schema.metadata[b"key"].decode().split(",")]
    typed = [(key, "VARCHAR" if key == "run" else "INTEGER") for key in keys]
    typed += [(name, str(kind)) for name, kind in zip(columns.columns, columns.types, strict=True) if name not in keys]
    listed = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in typed)
    return f"CREATE VIEW {table} AS SELECT {listed} WHERE false"
