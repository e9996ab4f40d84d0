"""results/tokens.duckdb: one view a table over exactly the files of the runs that params name.

Rebuilt on every use, never cached nor a dep.  Reads manifests, not data, so it takes no time; knows where each stage
leaves its tables and nothing of how they are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tokenspectrum.errors import UserError
from tokenspectrum.results.sources import SOURCES, Place
from tokenspectrum.results.sql import one_line, query_text, view_sql
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_manifest
from tokenspectrum.tokenlog.writer import atomic_path

# Each file of macros, and the tables without which it cannot be made.
MACROS = (
    ("queries/macros.sql", ()),
    ("queries/partitions.sql", ("attention",)),
    ("queries/quadrants.sql", ("attention", "tokens")),
)


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
    for name in sorted(manifest["files"]):
        parts = Path(name).parts
        if not name.endswith(".parquet"):
            continue
        wanted = [f"run={place.run}"] * (place.run is not None) + [f"seed={place.seed}"] * (place.seed is not None)
        if not set(wanted) <= set(parts):
            return Found(place, {}, f"{name} is not of {' '.join(wanted)}; run its stage again")
        # Hive trees begin with the table's name; plain folders hold the one table of their place.
        table = parts[0] if parts[0] in TABLES else place.tables[0]
        files.setdefault(table, []).append((place.folder / name).as_posix())
    return Found(place, files)


def rebuild(path: Path, artifacts: Path, methods: Sequence[str], seeds: Sequence[int]) -> list[Found]:
    """Write the database at `path` anew, atomically, and return every folder with what became of it.

    Views hold the paths as `artifacts` gives them: pass it relative to the repository root.  A table without any file
    gets no view.  The table `sources` (folder, tables, problem, files) says what was read and what was not.
    """
    found = [
        find(place) for source in SOURCES.values() for place in source.places(artifacts / source.folder, methods, seeds)
    ]
    files: dict[str, list[str]] = {}
    for one in found:
        for table, paths in one.files.items():
            files.setdefault(table, []).extend(paths)
    with atomic_path(path) as temporary:
        try:
            with duckdb.connect(temporary) as connection:
                _fill(connection, files, found)
        except duckdb.Error as e:  # binding a view opens its first file
            raise UserError(f"{path}: {one_line(e)}; run the stage that makes the file again") from None
    return found


def _fill(connection: duckdb.DuckDBPyConnection, files: dict[str, list[str]], found: Sequence[Found]) -> None:
    for table in TABLES:
        if table in files:
            connection.execute(view_sql(table, files[table]))
    for query, needed in MACROS:
        if set(needed) <= files.keys():
            connection.execute(query_text(query))
    connection.execute("CREATE TABLE sources (folder VARCHAR, tables VARCHAR[], problem VARCHAR, files INTEGER)")
    rows = [
        [f.place.folder.as_posix(), list(f.place.tables), f.problem, sum(map(len, f.files.values()))] for f in found
    ]
    connection.executemany("INSERT INTO sources VALUES (?, ?, ?, ?)", rows)
