"""What each stage was last made from: dvc.lock, and the fragments that runs leave for it.

 A run never writes dvc.lock.  It leaves a fragment, a small file of its own; a driver folds all fragments into
dvc.lock with one atomic write, and keeps a mirror of it that is quick to read.  Knows not where objects are.
"""

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from snakedvc.dvcfiles.locks import exclusive
from snakedvc.dvcfiles.record import Record
from snakedvc.yamlfile import load_yaml

LOCK = Path("dvc.lock")
FRAGMENTS = Path(".dvc/tmp/lock.d")
# dvc.lock as JSON, with the hash of the dvc.lock that it is of.
MIRROR = Path(".dvc/tmp/lock.json")
_CLAIMED = "claimed"
_SCHEMA_LINES = ("schema: '2.0'", 'schema: "2.0"')
Document = dict[str, Any]
_STAGE_START = re.compile(r"^(?=  \S)", re.M)


def write_atomically(path: Path, content: str, *, sync: bool = True) -> None:
    """Write `path` so that a reader sees the old content or the new; without `sync`, a power cut may lose it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the process id: two hosts that share the folder may have the same.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("w") as f:
            f.write(content)
            f.flush()
            if sync:
                os.fsync(f.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    """Quotes text such as 12e34, which YAML 1.2, and so DVC, would read as a number."""


def _text(dumper: yaml.Dumper, value: str) -> yaml.Node:
    style = "'" if re.fullmatch(r"[-+]?[\d._]+([eE][-+]?\d+)?", value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


class Records:
    """The last record of every stage: an unfolded fragment, else dvc.lock's entry."""

    def __init__(self) -> None:
        self._lock: dict[str, Document] | None = None

    def get(self, addr: str) -> Record | None:
        """The last record of the stage at `addr`, None if it was never made."""
        for path in (FRAGMENTS / f"{addr}.json", FRAGMENTS / _CLAIMED / f"{addr}.json"):
            with contextlib.suppress(FileNotFoundError):  # a driver may fold it at this moment
                return Record.read(json.loads(path.read_text()))
        if self._lock is None:
            self._lock = _read_lock()
        return Record.read(self._lock.get(addr))

    def documents(self) -> dict[str, Document]:
        """The last record of every stage as it is written, also of stages that dvc.yaml no longer has."""
        found = dict(_read_lock())
        for folder in (FRAGMENTS / _CLAIMED, FRAGMENTS):
            for path in folder.glob("*.json"):
                with contextlib.suppress(FileNotFoundError):  # folded at this moment: dvc.lock has it, read anew below
                    found[path.stem] = json.loads(path.read_text())
        return _read_lock() | found


def _read_lock() -> dict[str, Document]:
    """The stages of dvc.lock, from its mirror where that is up to date: YAML takes seconds at a thousand stages."""
    try:
        content = LOCK.read_bytes()
    except FileNotFoundError:
        return {}
    if not content.strip():
        return {}
    mirrored = _mirrored(content)
    return (load_yaml(LOCK).get("stages") or {}) if mirrored is None else mirrored


def _mirrored(content: bytes) -> dict[str, Document] | None:
    """The stages of the mirror, if it is of a dvc.lock with this content."""
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        mirror = json.loads(MIRROR.read_text())
        if mirror["of"] == _mark(content):
            return mirror["stages"]
    return None


def _write_mirror(content: bytes, stages: Mapping[str, Document]) -> None:
    write_atomically(MIRROR, json.dumps({"of": _mark(content), "stages": stages}), sync=False)


def _mark(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def refresh_mirror() -> None:
    """Bring the mirror up to date where DVC itself wrote dvc.lock.  For drivers; jobs only read."""
    if LOCK.exists():
        content = LOCK.read_bytes()
        if _mirrored(content) is None:
            _write_mirror(content, _read_lock())


def save_fragment(addr: str, record: Record) -> None:
    """Leave `record` for the next fold."""
    write_atomically(FRAGMENTS / f"{addr}.json", json.dumps(record.document()))


def _blocks(text: str) -> dict[str, str] | None:
    """The lines of each stage in dvc.lock, None unless it is written as the bridge and DVC write it."""
    head, _, body = text.partition("stages:\n")
    if head.strip("\n") not in _SCHEMA_LINES or not body:
        return None
    blocks: dict[str, str] = {}
    for block in _STAGE_START.split(body):
        name, colon, _ = block.partition(":\n")
        if block and not (colon and name.startswith("  ") and re.fullmatch(r"[A-Za-z_][\w@.+-]*", name[2:])):
            return None
        if block:
            blocks[name[2:]] = block
    return blocks


def _block(addr: str, record: Document) -> str:
    text = yaml.dump({addr: record}, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
    return "".join(f"  {line}" if line.strip() else line for line in text.splitlines(keepends=True))


def _lock_text(new: Mapping[str, Document]) -> str:
    """dvc.lock with `new` in it: only the blocks of these are written anew, if the rest can be told apart."""
    blocks = _blocks(LOCK.read_text()) if LOCK.exists() else {}
    if blocks is None:
        blocks = {addr: _block(addr, record) for addr, record in _read_lock().items()}
    blocks |= {addr: _block(addr, record) for addr, record in new.items()}
    return "schema: '2.0'\nstages:\n" + "".join(blocks[addr] for addr in sorted(blocks))


def fold() -> int:
    """Put all fragments into dvc.lock with one atomic write; their number.  Safe beside other drivers and stages."""
    if not FRAGMENTS.is_dir():
        return 0
    with exclusive(FRAGMENTS / ".fold.lock"):
        claimed = FRAGMENTS / _CLAIMED
        claimed.mkdir(exist_ok=True)
        for path in FRAGMENTS.glob("*.json"):
            # Moved away first: a stage that finishes now leaves a new fragment, and only what was read is deleted.
            os.replace(path, claimed / path.name)
        fragments = sorted(claimed.glob("*.json"))
        if not fragments:
            return 0
        new = {p.stem: json.loads(p.read_text()) for p in fragments}
        stages, text = _read_lock() | new, _lock_text(new)
        write_atomically(LOCK, text)
        _write_mirror(text.encode(), stages)
        for path in fragments:
            path.unlink()
        return len(fragments)
