"""Folders and their manifests: the bytes, rows and columns of every file, and files that no manifest lists."""

from pathlib import Path

import pyarrow.parquet as pq

from tokenspectrum.checking.found import Report
from tokenspectrum.errors import UserError
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_manifest
from tokenspectrum.tokenlog.writer import MANIFEST, sha256

# What Snakemake leaves in a folder that a job has made.
LEFT_BY_SNAKEMAKE = ".snakemake_timestamp"


def check_folder(root: Path, report: Report) -> bool:
    """Compare a folder with its manifest; whether it has one that can be read."""
    try:
        files = read_manifest(root)["files"]
    except UserError as e:
        report.wrong(root / MANIFEST, None, "manifest", str(e).partition(": ")[2] or str(e))
        return False
    report.compared["files"] += len(files)
    for name, facts in files.items():
        path = root / name
        if sha256(path) != facts["sha256"]:
            report.wrong(path, None, "sha256", "is not the manifest's")
        if path.suffix == ".parquet":
            _check_parquet(path, facts["rows"], report)
    there = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    for name in sorted(there - files.keys() - {MANIFEST, LEFT_BY_SNAKEMAKE}):
        report.wrong(root / name, None, "manifest", "does not list this file")
    return True


def check_unlisted(root: Path, report: Report) -> None:
    """Tables below `root` whose manifest is gone: nothing would say that they are whole."""
    said: set[Path] = set()
    for path in sorted(root.rglob("*.parquet")):
        table = next((part for part in path.parts if part.startswith(("run=", "step="))), None)
        folder = path.parents[len(path.parts) - path.parts.index(table)] if table else path.parent
        if folder not in said and not any((above / MANIFEST).exists() for above in path.parents):
            said.add(folder)
            report.wrong(folder, None, "manifest", "there is none; delete the folder and run its stage again")


def _check_parquet(path: Path, rows: int, report: Report) -> None:
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError) as e:  # Arrow's errors are ValueErrors
        report.wrong(path, None, "file", f"not a readable Parquet file ({str(e).splitlines()[0]})")
        return
    if file.metadata.num_rows != rows:
        report.wrong(path, None, "rows", f"{file.metadata.num_rows}, the manifest says {rows}")
    table = next((part for part in reversed(path.parts[:-1]) if part in TABLES), None)
    if table and (wrong := set(file.schema_arrow.names) ^ set(TABLES[table].names)) and table != "prompts":
        report.wrong(path, None, sorted(wrong)[0], f"is not a column of both the file and the table {table}")
