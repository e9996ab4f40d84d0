"""Content hashes of files and folders, exactly as DVC computes them.  Knows neither caches nor stages.

A folder's hash is the MD5 of the JSON list of its files' hashes and relative paths, followed by `.dir`.  Hashes are
always taken from the bytes and never from a table of times, so that an edit that kept the mtime is seen.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from snakedvc.dvcfiles.record import Entry

# Files and folders that no folder's hash includes.  A project's .dvcignore has to list them too.
# Snakemake marks folder outputs with the first; Python keeps compiled code in the second.
IGNORED = frozenset({".snakemake_timestamp", "__pycache__"})
_FEW = 2**22  # bytes that one thread hashes at once


@dataclass(frozen=True)
class Digest:
    """What DVC records of a path: `md5` (ending in .dir for a folder), bytes, and for a folder its number of files."""

    md5: str
    size: int
    nfiles: int | None = None

    def entry(self, path: str) -> Entry:
        """The path's entry in a record."""
        return Entry(path, self.md5, self.size, self.nfiles)


def file_md5(path: Path) -> str:
    """MD5 of a file's bytes, as hex."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "md5").hexdigest()


def names_under(folder: str) -> list[str]:
    """The relative POSIX path of every file below `folder`, sorted, without the ignored ones."""
    return sorted(name for name, _ in entries_under(folder))


def entries_under(folder: str, inside: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The same with their entries, in no order.  A link to a folder is neither followed nor a file."""
    try:
        found = os.scandir(folder)
    except OSError:  # it was removed meanwhile, or may not be read: then it has no files for us
        return
    with found:
        for entry in found:
            if entry.name in IGNORED:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from entries_under(entry.path, f"{inside}{entry.name}/")
            elif not entry.is_dir():
                yield inside + entry.name, entry


def files_under(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below `folder`, sorted by its relative POSIX path, without the ignored ones."""
    yield from ((name, folder / name) for name in names_under(os.fspath(folder)))


def listing_bytes(files: dict[str, str]) -> bytes:
    """The `.dir` object of a folder whose files `relative path -> md5` are these."""
    rows = [{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())]
    return json.dumps(rows, sort_keys=True).encode()


def listing_md5(files: dict[str, str]) -> str:
    """The hash of a folder whose files `relative path -> md5` are these."""
    return hashlib.md5(listing_bytes(files), usedforsecurity=False).hexdigest() + ".dir"


def hash_files(files: dict[str, Path]) -> tuple[dict[str, str], int]:
    """MD5 of each file and the bytes of all together."""
    size = sum(p.stat().st_size for p in files.values())
    if size < _FEW:  # to start threads would take longer
        return {name: file_md5(path) for name, path in files.items()}, size
    with ThreadPoolExecutor(max_workers=4) as pool:  # hashing frees the interpreter's lock
        return dict(zip(files, pool.map(file_md5, files.values()), strict=True)), size


def _with_folders(name: str) -> Iterator[str]:
    """A relative path and every folder that it is in: a/b/c, a/b, a."""
    while name:
        yield name
        name = name.rpartition("/")[0]


def digest(path: Path, only: list[str] | None = None) -> Digest:
    """Hash `path`.  With `only`, hash just these paths in a folder.  FileNotFoundError if it is gone."""
    if not path.is_dir():
        return Digest(file_md5(path), path.stat().st_size)
    files = dict(files_under(path))
    if only is not None:
        keep = {Path(p).relative_to(path).as_posix() for p in only}
        files = {name: file for name, file in files.items() if not keep.isdisjoint(_with_folders(name))}
    hashes, size = hash_files(files)
    return Digest(listing_md5(hashes), size, len(hashes))
