"""Write tables.  A reader sees a whole file or none, and the same rows always give the same bytes.

Knows Arrow schemas.  Does not know what the columns mean.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tokenspectrum.errors import UserError

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
ROW_GROUP_ROWS = 1_000_000


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`.  If the block succeeds it is fsynced and renamed to `path`, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def as_table(schema: pa.Schema, columns: pa.Table | Mapping[str, Any]) -> pa.Table:
    """Columns in the schema's order and types, without metadata.  Missing nullable columns become null.

    Raises UserError for a column that the schema lacks, and for a non-null column that is missing or holds a null.
    """
    names = columns.column_names if isinstance(columns, pa.Table) else list(columns)
    if unknown := set(names) - set(schema.names):
        raise UserError(f"columns {sorted(unknown)} are not in the schema; it has {schema.names}")
    rows = columns.num_rows if isinstance(columns, pa.Table) else len(next(iter(columns.values())))
    arrays = []
    for field in schema:
        if field.name not in names:
            array = pa.nulls(rows, field.type)
        else:
            value = columns[field.name]
            array = value.cast(field.type) if isinstance(value, pa.ChunkedArray) else pa.array(value, field.type)
        if array.null_count and not field.nullable:
            raise UserError(f"column {field.name}: {array.null_count} of {rows} rows are null; the schema allows none")
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema([pa.field(f.name, f.type, f.nullable) for f in schema]))


def _encodings(schema: pa.Schema) -> dict[str, Any]:
    """Floats are byte-stream-split, integers delta-packed, the rest dictionary-encoded."""
    split = {f.name: "BYTE_STREAM_SPLIT" for f in schema if pa.types.is_floating(f.type)}
    delta = {f.name: "DELTA_BINARY_PACKED" for f in schema if pa.types.is_integer(f.type)}
    strings = [f.name for f in schema if pa.types.is_string(f.type)]
    return {"column_encoding": split | delta, "use_dictionary": strings}


def write_file(path: Path, schema: pa.Schema, columns: pa.Table | Mapping[str, Any]) -> Path:
    """Write one Parquet file atomically.  Its row count is read back before the file gets its name."""
    table = as_table(schema, columns)
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=9,
            row_group_size=ROW_GROUP_ROWS,
            write_statistics=True,
            **_encodings(table.schema),
        )
        if (found := pq.read_metadata(temporary).num_rows) != table.num_rows:
            raise OSError(f"{path}: wrote {table.num_rows} rows but {found} came back")
    return path


def step_path(root: Path, table: str, run: str, seed: int, step: int | None, name: str = "part-0") -> Path:
    """Hive path of a table's file.  `step` is None for a table without steps (runs)."""
    folder = root / table / f"run={run}" / f"seed={seed}"
    return (folder if step is None else folder / f"step={step}") / f"{name}.parquet"


def write_step(
    root: Path,
    table: str,
    schema: pa.Schema,
    columns: pa.Table | Mapping[str, Any],
    *,
    run: str,
    seed: int,
    step: int | None,
    name: str = "part-0",
) -> Path:
    """Write `root/table/run=/seed=/step=/name.parquet`; run, seed and step are folders, not columns."""
    return write_file(step_path(root, table, run, seed, step, name), schema, columns)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_manifest(root: Path) -> None:
    """Write `root/manifest.json` last.  It lists every file's rows and sha256, and marks the folder as complete."""
    files = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p != root / MANIFEST):
        rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else None
        files[path.relative_to(root).as_posix()] = {"rows": rows, "sha256": sha256(path)}
    write_json(root / MANIFEST, {"schema_version": SCHEMA_VERSION, "files": files})
