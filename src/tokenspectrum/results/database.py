"""results/tokens.duckdb: one view a table over exactly the files of the runs that params name.

Rebuilt on every use, never cached nor a dep.  Reads manifests, not data, so it takes no time; knows where each stage
leaves its tables and nothing of how they are made.
"""

import errno
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tokenspectrum.errors import UserError
from tokenspectrum.results.sources import SOURCES, Place, Wanted
from tokenspectrum.results.sql import empty_view_sql, one_line, query_text, view_sql
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_manifest
from tokenspectrum.tokenlog.writer import atomic_path

# The oldest DuckDB that opens the file.  Without it, only the version that wrote it can.
STORAGE = "v1.2.0"
MACROS = ("queries/macros.sql", "queries/partitions.sql", "queries/quadrants.sql")
# The stage that fills a table, where the folder's name does not say it.
MADE_BY = {
    "vocab": "policy",
    "attention": "tokens",
    "metrics": "train",
    "evaluated": "evaluate",
    "evaluated_base": "evaluate_base",
}


@dataclass(frozen=True)
class Found:
    """What became of a folder: its Parquet files by table, or why it was not read."""

    place: Place
    files: dict[str, list[str]]
    problem: str | None = None


def find(place: Place) -> Found:
    """The files that the folder's manifest lists, by table; a folder without a sound manifest is not read."""
    if not place.folder.is_dir():
        return Found(place, {}, "not made yet")
    try:
        manifest = read_manifest(place.folder)
    except UserError as e:
        return Found(place, {}, str(e).removeprefix(f"{place.folder}: "))
    files: dict[str, list[str]] = {}
    wanted = [f"run={place.run}"] * (place.run is not None) + [f"seed={place.seed}"] * (place.seed is not None)
    keys, folder = [f"/{key}/" for key in wanted], place.folder.as_posix()
    for name in sorted(manifest["files"]):  # of a long run there are a hundred thousand: names stay text
        if not name.endswith(".parquet"):
            continue
        path = f"{folder}/{name}"
        for key in keys:
            if path.find(key, len(folder)) < 0:
                return Found(place, {}, f"{name} is not of {' '.join(wanted)}; run its stage again")
        # Hive trees begin with the table's name; plain folders hold the one table of their place.
        first = name.partition("/")[0]
        table = first if first in TABLES else place.tables[0]
        files.setdefault(table, []).append(path)
    return Found(place, files)


def rebuild(path: Path, artifacts: Path, wanted: Wanted) -> list[Found]:
    """Write the database at `path` anew, atomically, and return every folder with what became of it.

    Views hold the paths as `artifacts` gives them: pass it relative to the repository root.  A table without any file
    is there, and empty.  The table `sources` (folder, tables, problem, files) says what was read and what was not.
    """
    found = [find(place) for source in SOURCES.values() for place in source.places(artifacts / source.folder, wanted)]
    files: dict[str, list[str]] = {}
    for one in found:
        for table, paths in one.files.items():
            files.setdefault(table, []).extend(paths)
    with atomic_path(path) as temporary:
        try:
            with duckdb.connect(temporary, config={"storage_compatibility_version": STORAGE}) as connection:
                _fill(connection, files, found, layer_count(artifacts, wanted.bases))
        except duckdb.Error as e:  # binding a view opens its first file
            if not os.access(path.parent, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path.parent)) from None
            raise UserError(f"{path}: {one_line(e)}; run the stage that makes the file again") from None
    return found


def _fill(
    connection: duckdb.DuckDBPyConnection, files: dict[str, list[str]], found: Sequence[Found], layers: int | None
) -> None:
    for table, schema in TABLES.items():
        connection.execute(empty_view_sql(table, schema))
    connection.execute(f"CREATE MACRO layer_count() AS {'NULL::INTEGER' if layers is None else layers}")
    # A macro is bound when it is made, and again when it is used.  Over empty views the first costs nothing.
    for query in MACROS:
        connection.execute(query_text(query))
    for table, names in files.items():
        connection.execute(view_sql(table, names))
    connection.execute("CREATE TABLE sources (folder VARCHAR, tables VARCHAR[], problem VARCHAR, files INTEGER)")
    rows = [
        [f.place.folder.as_posix(), list(f.place.tables), f.problem, sum(map(len, f.files.values()))] for f in found
    ]
    connection.executemany("INSERT INTO sources VALUES (?, ?, ?, ?)", rows)


def layer_count(artifacts: Path, bases: Sequence[int]) -> int | None:
    """Layers of a base policy, which all have the same number; None before one is made."""
    for base in bases:
        try:
            return int(json.loads((artifacts / f"policy/{base}/config.json").read_text())["num_hidden_layers"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def without_rows(found: Sequence[Found]) -> dict[str, list[str]]:
    """Each table that no file fills, and the stages that fill it; none if no stage of these runs does."""
    filled = {table for one in found for table in one.files}
    makers: dict[str, list[str]] = {table: [] for table in TABLES if table not in filled}
    for one in found:
        # The folder of a stage is the one below artifacts/<preset>/.
        folder = one.place.folder.parts[2] if len(one.place.folder.parts) > 2 else one.place.folder.name
        for table in makers.keys() & set(one.place.tables):
            stage = MADE_BY.get(folder, folder)
            if stage not in makers[table]:
                makers[table].append(stage)
    return makers
