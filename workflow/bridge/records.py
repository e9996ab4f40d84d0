"""What each stage was last made from: dvc.lock, and the fragments that runs leave for it.

 A run never writes dvc.lock.  It leaves a fragment, a small file of its own; a driver folds all fragments into
dvc.lock with one atomic write.  Knows the format of a record, not where its objects are.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tokenspectrum.params.base import load_yaml

LOCK = Path("dvc.lock")
FRAGMENTS = Path(".dvc/tmp/lock.d")
_CLAIMED = "claimed"
_NOT_HASHED = {"size", "nfiles"}
Record = dict[str, Any]


def make_record(cmd: str, deps: list[dict], params: Mapping[str, Any], outs: list[dict] | None = None) -> Record:
    """A stage's record in DVC's form and order."""
    record: Record = {"cmd": cmd, "deps": sorted(deps, key=lambda d: d["path"])}
    if params:
        record["params"] = {"params.yaml": dict(sorted(params.items()))}
    record["outs"] = sorted(outs or [], key=lambda o: o["path"])
    return record


def inputs_of(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What decides a stage's result: its command, the hashes of its deps, its params."""
    hashes = {d["path"]: d.get("md5") for d in record.get("deps", [])}
    return record.get("cmd"), hashes, record.get("params", {})


def _without_sizes(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_sizes(v) for v in node]
    if isinstance(node, Mapping):
        return {k: _without_sizes(v) for k, v in node.items() if k not in _NOT_HASHED}
    return node


def run_value(record: Mapping[str, Any]) -> str:
    """DVC's name of a run record: the hash of all of it, sizes left out."""
    return hashlib.sha256(json.dumps(_without_sizes(record), sort_keys=True).encode()).hexdigest()


def run_key(record: Mapping[str, Any], outs: tuple[str, ...]) -> str:
    """DVC's run-cache key: the same hash with the outputs' paths in place of their contents."""
    return run_value({**record, "outs": sorted(outs)})


def write_atomically(path: Path, content: str) -> None:
    """Write `path` so that a reader sees the old content or the new, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    os.replace(temporary, path)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[int]:
    """Hold a lock file; processes that inherit the yielded descriptor hold it too, until the last of them ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    """Quotes text such as 12e34, which YAML 1.2, and so DVC, would read as a number."""


def _text(dumper: yaml.Dumper, value: str) -> yaml.Node:
    style = "'" if re.fullmatch(r"[-+]?[\d._]+([eE][-+]?\d+)?", value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


class Records:
    """The last record of every stage: an unfolded fragment, else dvc.lock's entry."""

    def __init__(self) -> None:
        self._lock: dict[str, Record] | None = None

    def get(self, addr: str) -> Record | None:
        """The last record of the stage at `addr`, None if it was never made."""
        for path in (FRAGMENTS / f"{addr}.json", FRAGMENTS / _CLAIMED / f"{addr}.json"):
            with contextlib.suppress(FileNotFoundError):  # a driver may fold it at this moment
                return json.loads(path.read_text())
        if self._lock is None:
            self._lock = _read_lock()
        return self._lock.get(addr)


def _read_lock() -> dict[str, Record]:
    if not LOCK.exists() or not LOCK.read_text().strip():
        return {}
    return load_yaml(LOCK).get("stages") or {}


def save_fragment(addr: str, record: Record) -> None:
    """Leave `record` for the next fold."""
    write_atomically(FRAGMENTS / f"{addr}.json", json.dumps(record))


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
        stages = _read_lock() | {p.stem: json.loads(p.read_text()) for p in fragments}
        lock = {"schema": "2.0", "stages": dict(sorted(stages.items()))}
        write_atomically(LOCK, yaml.dump(lock, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True))
        for path in fragments:
            path.unlink()
        return len(fragments)
