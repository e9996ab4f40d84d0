"""The last record of each stage: dvc.lock, and the fragments that runs leave for it.

A run never writes dvc.lock.  It leaves a fragment, which is a small file of its own.  A driver folds all fragments into
dvc.lock with one atomic write, and keeps a mirror of it that is fast to read.  Does not know where objects are.
"""

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from snakedvc.dvcfiles.locks import exclusive
from snakedvc.dvcfiles.record import Record
from snakedvc.errors import ProjectError
from snakedvc.yamlfile import load_yaml

LOCK = Path("dvc.lock")
FRAGMENTS = Path(".dvc/tmp/lock.d")
# The mirror: dvc.lock as JSON, with the hash of that dvc.lock.
MIRROR = Path(".dvc/tmp/lock.json")
# The same of a few facts on each stage, which is read in a tenth of the time.
BRIEFS = Path(".dvc/tmp/lock.brief.json")
_CLAIMED = "claimed"
_SCHEMA_LINES = ("schema: '2.0'", 'schema: "2.0"')
Document = dict[str, Any]
_STAGE_START = re.compile(r"^(?=  \S)", re.M)


def write_atomically(path: Path, content: str, *, sync: bool = True) -> None:
    """Write `path` so that a reader sees the old content or the new; without `sync`, a power cut may lose it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process id is not enough: two hosts that share the folder may use the same one.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as f:
            f.write(content)
            f.flush()
            if sync:
                os.fsync(f.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    """Quotes text such as 12e34, which DVC would read as a number, as YAML 1.2 says."""


def _text(dumper: yaml.Dumper, value: str) -> yaml.Node:
    style = "'" if re.fullmatch(r"[-+]?[\d._]+([eE][-+]?\d+)?", value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


@dataclass(frozen=True)
class Brief:
    """Of a record: its name, and the paths of its deps that are no code."""

    name: str
    data: tuple[str, ...]

    @classmethod
    def of(cls, record: Record | None) -> "Brief | None":
        return cls(record.name, tuple(record.data)) if record else None


class Records:
    """The last record of every stage: its fragment if there is one, else its entry in dvc.lock."""

    def __init__(self) -> None:
        self._lock: dict[str, Document] | None = None
        self._briefs: dict[str, Brief | None] | None = None

    def get(self, entry: str) -> Record | None:
        """The last record of the stage that DVC calls `entry`; None if it was never made."""
        found = _fragment(entry)
        if found is None:
            if self._lock is None:
                self._lock = _read_lock()
            found = self._lock.get(entry)
        return Record.read(found)

    def brief(self, entry: str) -> Brief | None:
        """A few facts on it, which cost less to read."""
        if found := _fragment(entry):
            return Brief.of(Record.read(found))
        if self._briefs is None:
            self._briefs = _read_briefs()
        return self._briefs.get(entry)

    def documents(self) -> dict[str, Document]:
        """The last record of every stage as the file holds it, also of stages that dvc.yaml no longer has."""
        found = dict(_read_lock())
        for folder in (FRAGMENTS / _CLAIMED, FRAGMENTS):
            for path in folder.glob("*.json"):
                with contextlib.suppress(FileNotFoundError):  # just folded: dvc.lock has it, and is read again below
                    found[path.stem] = json.loads(path.read_text())
        return _read_lock() | found


def _fragment(entry: str) -> Document | None:
    for folder in (FRAGMENTS, FRAGMENTS / _CLAIMED):
        path = f"{folder}/{entry}.json"
        if os.path.exists(path):
            with contextlib.suppress(FileNotFoundError), open(path) as file:  # a driver may fold it at this moment
                return json.load(file)
    return None


def _read_briefs() -> dict[str, Brief | None]:
    """A few facts on the stages of dvc.lock."""
    if _briefs_are_current():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            stages = json.loads(BRIEFS.read_text())["stages"]
            return {entry: Brief(name, tuple(data)) for entry, (name, data) in stages.items()}
    return _briefs_of(_read_lock())


def _briefs_of(stages: Mapping[str, Document]) -> dict[str, Brief | None]:
    return {entry: Brief.of(Record.read(document)) for entry, document in stages.items()}


def _briefs_are_current() -> bool:
    """Whether they are of the present dvc.lock: its hash stands at their beginning."""
    with contextlib.suppress(OSError):
        with BRIEFS.open() as file:
            beginning = file.read(100)
        return beginning.startswith(json.dumps({"of": _mark(LOCK.read_bytes())})[:-1])
    return False


def _read_lock() -> dict[str, Document]:
    """The stages of dvc.lock.  Read from the mirror if that is current, since YAML of 1,000 stages takes seconds."""
    try:
        content = LOCK.read_bytes()
    except FileNotFoundError:
        return {}
    if not content.strip():
        return {}
    mirrored = _mirrored(content)
    if mirrored is not None:
        return mirrored
    try:
        return load_yaml(LOCK).get("stages") or {}
    except ProjectError as e:
        raise ProjectError(
            f"{e}: take it from Git again (`git checkout {LOCK}`), or delete it: the cache is read without it"
        ) from None


def _mirrored(content: bytes) -> dict[str, Document] | None:
    """The stages of the mirror; None unless it mirrors a dvc.lock with this content."""
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        mirror = json.loads(MIRROR.read_text())
        if mirror["of"] == _mark(content):
            return mirror["stages"]
    return None


def _write_mirror(content: bytes, stages: Mapping[str, Document], briefs: Mapping[str, Brief | None]) -> None:
    write_atomically(MIRROR, json.dumps({"of": _mark(content), "stages": stages}), sync=False)
    facts = {entry: (brief.name, brief.data) for entry, brief in briefs.items() if brief}
    write_atomically(BRIEFS, json.dumps({"of": _mark(content), "stages": facts}), sync=False)


def _mark(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def altered_entries() -> list[str]:
    """The entries of dvc.lock that are not as the bridge left them: Git or DVC wrote it, or a disk damaged it."""
    if _briefs_are_current():  # they are written after the mirror
        return []
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        before = json.loads(MIRROR.read_text())
        if before["of"] != _mark(LOCK.read_bytes()):
            now, left = _read_lock(), before["stages"]
            return sorted(name for name in now.keys() | left.keys() if now.get(name) != left.get(name))
    return []


def refresh_mirror() -> None:
    """Bring the mirror up to date after DVC itself wrote dvc.lock.  Drivers call this; jobs only read."""
    if LOCK.exists() and not (_briefs_are_current() and MIRROR.exists()):
        content = LOCK.read_bytes()
        stages = _read_lock()
        _write_mirror(content, stages, _briefs_of(stages))


def save_fragment(entry: str, record: Record) -> None:
    """Leave `record` of the stage that DVC calls `entry` for the next fold."""
    write_atomically(FRAGMENTS / f"{entry}.json", json.dumps(record.document()))


def _blocks(text: str) -> dict[str, str] | None:
    """The lines of each stage in dvc.lock; None if its form is not that of the bridge and DVC."""
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
    """dvc.lock with `new` in it.  Only the blocks of `new` are written again, if the blocks can be told apart."""
    blocks = _blocks(LOCK.read_text()) if LOCK.exists() else {}
    if blocks is None:
        blocks = {addr: _block(addr, record) for addr, record in _read_lock().items()}
    blocks |= {addr: _block(addr, record) for addr, record in new.items()}
    return "schema: '2.0'\nstages:\n" + "".join(blocks[addr] for addr in sorted(blocks))


def fold() -> int:
    """Put all fragments into dvc.lock with one atomic write.  Returns how many.

    Other drivers and stages may work at the same time.
    """
    if not FRAGMENTS.is_dir():
        return 0
    with exclusive(FRAGMENTS / ".fold.lock"):
        claimed = FRAGMENTS / _CLAIMED
        claimed.mkdir(exist_ok=True)
        for path in FRAGMENTS.glob("*.json"):
            # Move them away first, so that only what was read is deleted.  A stage that finishes now leaves a new one.
            os.replace(path, claimed / path.name)
        fragments = sorted(claimed.glob("*.json"))
        if not fragments:
            return 0
        new = {p.stem: json.loads(p.read_text()) for p in fragments}
        stages, briefs, text = _read_lock() | new, _read_briefs() | _briefs_of(new), _lock_text(new)
        write_atomically(LOCK, text)
        _write_mirror(text.encode(), stages, briefs)
        for path in fragments:
            path.unlink()
        return len(fragments)
