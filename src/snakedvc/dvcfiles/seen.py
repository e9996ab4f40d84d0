"""Remember hashes of outputs in the working tree.  A hash is computed again only if a file's size or time has changed.

Only for planning.  A stage's inputs are always hashed from their bytes (inputs.py).
"""

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from snakedvc.dvcfiles.digest import digest, files_under
from snakedvc.dvcfiles.records import write_atomically

SEEN = Path(".dvc/tmp/seen")
Signature = list[int]


def signature(path: Path) -> Signature | None:
    """Bytes, number of files and last modification of a file or folder; None if it is not there."""
    if not path.exists():
        return None
    stats = [p.stat() for _, p in files_under(path)] if path.is_dir() else [path.stat()]
    return [sum(s.st_size for s in stats), len(stats), max((s.st_mtime_ns for s in stats), default=0)]


def signatures(outs: Iterable[str]) -> dict[str, Signature | None]:
    """The signature of each output."""
    return {out: signature(Path(out)) for out in outs}


def remember(addr: str, made: Mapping[str, str | None], now: dict[str, Signature | None]) -> None:
    """Note that the outputs of a stage, with the signatures `now`, have the hashes `made`."""
    known = {path: [md5, now[path]] for path, md5 in made.items()}
    write_atomically(SEEN / f"{addr}.json", json.dumps(known), sync=False)


class Tree:
    """The hash of every output in the working tree."""

    def __init__(self, write: bool) -> None:
        """With `write`, new hashes are remembered."""
        self._write = write

    def hashes(self, addr: str, outs: tuple[str, ...]) -> dict[str, str | None]:
        """The hash of each output of a stage; None if the output is not there."""
        now = signatures(outs)
        known: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            known = json.loads((SEEN / f"{addr}.json").read_text())
        found: dict[str, str | None] = {}
        fresh = False
        for out in outs:
            md5, before = known.get(out, (None, None))
            if now[out] is None:
                found[out] = None
            elif now[out] == before:
                found[out] = md5
            else:
                found[out], fresh = digest(Path(out)).md5, True
        if fresh and self._write:
            remember(addr, {out: md5 for out, md5 in found.items() if md5}, now)
        return found
