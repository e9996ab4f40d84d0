"""Remember hashes of outputs and of large given files.  A file is hashed again only if its size or a time has changed.

Beside a stage's outputs it is remembered which run record they were found to be of.  The record is read again only if
its file has changed in the same sense, or if the stage has another key.

Any change of a time counts, also one to an earlier time, since clocks go back.  So does the time of the last change of
the file's entry, which nobody can set.

Only for planning.  A stage's inputs are always hashed from their bytes (inputs.py).
"""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakedvc.dvcfiles.digest import digest, entries_under
from snakedvc.dvcfiles.records import write_atomically
from snakedvc.errors import ProjectError

SEEN = Path(".dvc/tmp/seen")
GIVEN = SEEN / "given.json"
LARGE = 64 * 2**20  # bytes from which a given file's hash is remembered: weights of a policy, not problems
Signature = list[int | str]
_OF = ""  # among the outputs of a stage, which run record they are of: no output has this path


@dataclass(frozen=True)
class Accepted:
    """A run record whose outputs are as they were when they were found to be its own: name, file, and their hashes."""

    name: str
    file: Signature
    made: dict[str, str]


def signature(path: Path | str) -> Signature | None:
    """Bytes, number of files, and a hash over names, sizes and times of a file or folder; None if it is not there."""
    text = os.fspath(path)
    try:
        itself = os.stat(text)
    except (OSError, ValueError):  # as os.path.exists has it
        return None
    files = [("", itself)]
    if stat.S_ISDIR(itself.st_mode):
        files = [(name, entry.stat()) for name, entry in entries_under(text)]
    facts = [(name, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in files]
    mark = hashlib.md5(repr(sorted(facts)).encode(), usedforsecurity=False).hexdigest()
    return [sum(size for _, size, _, _ in facts), len(facts), mark]


def signatures(outs: Iterable[str]) -> dict[str, Signature | None]:
    """The signature of each output."""
    return {out: signature(out) for out in outs}


def remember(addr: str, made: Mapping[str, str | None], now: dict[str, Signature | None]) -> None:
    """Note that the outputs of a stage, with the signatures `now`, have the hashes `made`."""
    known = {path: [md5, now[path]] for path, md5 in made.items()}
    write_atomically(SEEN / f"{addr}.json", json.dumps(known), sync=False)


def accept(addr: str, key: str, name: str, record: Path) -> None:
    """Note that the outputs, whose hashes are remembered, are those of the run record `name` under `key`, in a file."""
    path = SEEN / f"{addr}.json"
    if known := _memory(path):
        write_atomically(path, json.dumps(known | {_OF: [key, name, signature(record)]}), sync=False)


def _memory(path: Path) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError, ValueError):
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else {}
    return {}


class Given:
    """The hash of every file and folder that the user provides."""

    def __init__(self, write: bool) -> None:
        """With `write`, hashes of large files are remembered."""
        self._write = write

    def hash(self, path: str) -> str:
        """The present hash of a file or folder.  A ProjectError if it cannot be read."""
        try:
            now = signature(Path(path))
            large = now is not None and int(now[0]) >= LARGE
            known = _memory(GIVEN) if large else {}
            if large and known.get(path, [None, None])[1] == now:
                return known[path][0]
            md5 = digest(Path(path)).md5
        except OSError as e:
            raise ProjectError(
                f"{e.filename or path}: cannot be read ({e.strerror}), but a stage depends on it"
            ) from None
        if large and self._write:
            write_atomically(GIVEN, json.dumps(_memory(GIVEN) | {path: [md5, now]}), sync=False)
        return md5


class Tree:
    """The hash of every output in the working tree."""

    def __init__(self, write: bool) -> None:
        """With `write`, new hashes are remembered."""
        self._write = write

    def hashes(self, addr: str, outs: tuple[str, ...]) -> dict[str, str | None]:
        """The hash of each output of a stage; None if the output is not there."""
        now = signatures(outs)
        known = _memory(SEEN / f"{addr}.json")
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

    def accepted(self, addr: str, key: str, outs: tuple[str, ...]) -> Accepted | None:
        """What was noted so of a stage that now has this key and these outputs; None if an output has changed since."""
        known = _memory(SEEN / f"{addr}.json")
        then, name, file = known.get(_OF, (None, None, None))
        if then != key or file is None:
            return None
        made: dict[str, str] = {}
        for out in outs:
            md5, before = known.get(out, (None, None))
            if md5 is None or before is None or signature(out) != before:
                return None
            made[out] = md5
        return Accepted(name, file, made)
