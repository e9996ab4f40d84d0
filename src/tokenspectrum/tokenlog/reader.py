"""Read tables through their folder's manifest.  A folder without one and a damaged file are refused.  Files that the
manifest does not list are never read.

Knows Hive paths and manifests.  Does not know what the columns mean.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tokenspectrum.errors import UserError
from tokenspectrum.tokenlog.writer import MANIFEST, SCHEMA_VERSION, sha256

_HIVE = re.compile(r"(?:^|/)(run|seed|step)=([^/]+)")


def read_manifest(root: Path) -> dict[str, Any]:
    """The manifest of a complete folder: {"schema_version": int, "files": {path: {"rows", "sha256"}}}."""
    path = root / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        files, version = manifest["files"], manifest["schema_version"]
    except FileNotFoundError:
        raise UserError(f"{root}: no {MANIFEST}, so it is not complete; run the stage that makes it") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not a manifest; delete the folder and run its stage again") from None
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: schema version {version}, this code reads {SCHEMA_VERSION}; run its stage again")
    for name in files:
        if not os.path.isfile(f"{root}/{name}"):  # pathlib takes ten times as long, and there may be 100,000
            raise UserError(f"{root / name}: listed in the manifest but missing; delete {root} and run its stage again")
    return manifest


def check_file(root: Path, name: str, manifest: dict[str, Any]) -> Path:
    """The path of a listed file.  If its bytes are not those of the manifest, a UserError names it."""
    path = root / name
    if name not in manifest["files"]:
        raise UserError(f"{path}: not in {MANIFEST}; run the stage that makes it")
    if sha256(path) != manifest["files"][name]["sha256"]:
        raise UserError(f"{path}: damaged (its sha256 is not the manifest's); delete {root} and run its stage again")
    return path


def check_folder(root: Path) -> dict[str, Any]:
    """Check the bytes of every listed file, and return the manifest."""
    manifest = read_manifest(root)
    for name in manifest["files"]:
        check_file(root, name, manifest)
    return manifest


def read_file(path: Path, schema: pa.Schema | None = None, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file.  If a schema is given, the file's columns must be exactly those."""
    try:
        table = pq.ParquetFile(path).read(columns=columns)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage that makes it") from None
    except (pa.ArrowInvalid, OSError) as e:
        raise UserError(
            f"{path}: not a readable Parquet file ({str(e).splitlines()[0]}); run its stage again"
        ) from None
    if schema is not None and columns is None and table.schema.names != schema.names:
        raise UserError(f"{path}: columns {table.schema.names}, expected {schema.names}")
    return table


def read_table(root: Path, table: str, *, step: int | None = None, columns: list[str] | None = None) -> pa.Table:
    """All files of `table` in a complete folder, or those of one step.  run, seed and step become columns."""
    manifest = read_manifest(root)
    parts = []
    for name in sorted(manifest["files"]):
        keys = dict(_HIVE.findall(name))
        if not name.startswith(f"{table}/") or (step is not None and keys.get("step") != str(step)):
            continue
        part = read_file(check_file(root, name, manifest), columns=columns)
        n = part.num_rows
        if "run" in keys:
            part = part.append_column("run", pa.repeat(pa.scalar(keys["run"]), n))
        for key in ("seed", "step"):
            if key in keys:
                part = part.append_column(key, pa.repeat(pa.scalar(int(keys[key]), pa.int32()), n))
        parts.append(part)
    if not parts:
        where = "" if step is None else f" at step {step}"
        raise UserError(f"{root}: no rows of table {table}{where}; run the stage that makes it")
    return pa.concat_tables(parts)
