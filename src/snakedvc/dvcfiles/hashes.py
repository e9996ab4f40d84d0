"""Hashes of a stage's deps, for planning.  Code and given data are read; stages' outputs are known from records."""

import os
from collections.abc import Callable
from pathlib import Path

from snakedvc.dvcfiles.cache import DamagedObjectError, MissingObjectError
from snakedvc.dvcfiles.digest import listing_md5
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.record import Entry
from snakedvc.dvcfiles.seen import Given

Made = Callable[[str], str | None]
Listing = Callable[[str, str], dict[str, str]]


class DepHashes:
    """The hash of every dep.  Files that many stages share are read only once."""

    def __init__(self, pipeline: Pipeline, made: Made, listing: Listing, write: bool = False) -> None:
        """`made(out)`: the hash that an output has or will have, or None; `listing(out, hash)`: the files in it.

        With `write`, hashes of large given files are remembered.
        """
        self._pipeline, self._made, self._listing = pipeline, made, listing
        self._files = Given(write)
        self._given: dict[str, str] = {}
        # Stages of one template have the same code, and the same entries of it.
        self._code: dict[tuple[str, ...], list[Entry]] = {}

    def code(self, path: str) -> str | None:
        """The present hash of a file or folder of code; None if it is gone."""
        return self._now(path)

    def _now(self, path: str) -> str | None:
        if path not in self._given:
            self._given[path] = self._files.hash(path) if os.path.exists(path) else ""
        return self._given[path] or None

    def data(self, dep: str, reader: Stage) -> str | None:
        """The hash that data dep `dep` of `reader` has with all outputs in place; None if it is not known."""
        made = self._pipeline.made_under(dep, reader)
        if made == [dep]:
            return self._made(dep)
        if dep in self._pipeline.given(reader):
            return self._now(dep)
        files: dict[str, str] = {}
        for out in made:
            md5 = self._made(out)
            if md5 is None:
                return None
            name = Path(out).relative_to(dep).as_posix()
            try:
                inside = self._listing(out, md5) if md5.endswith(".dir") else {"": md5}
            except (MissingObjectError, DamagedObjectError):
                return None
            files |= {f"{name}/{n}".rstrip("/"): h for n, h in inside.items()}
        return listing_md5(files)

    def entries(self, reader: Stage) -> list[Entry]:
        """Entries of all deps of `reader`; an unknown hash is None."""
        if reader.code not in self._code:
            self._code[reader.code] = [Entry(dep, self.code(dep)) for dep in reader.code]
        return [*self._code[reader.code], *(Entry(dep, self.data(dep, reader)) for dep in reader.data)]
