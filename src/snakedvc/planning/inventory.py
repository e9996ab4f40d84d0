"""What DVC's cache holds: every run record with its stage, its age, and whether the present params need it.

Changes nothing.  A record is needed if its inputs are the present ones or may turn out to be, or if dvc.lock names it.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from snakedvc.dvcfiles.cache import Cache
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.record import Record
from snakedvc.dvcfiles.store import Store
from snakedvc.dvcfiles.templates import VARIABLE
from snakedvc.errors import ProjectError
from snakedvc.planning.audit import Audit
from snakedvc.planning.differences import differences
from snakedvc.running.journal import RUNNER_LOG
from snakedvc.yamlfile import Loader, load_yaml

# The stage's name for a record whose outputs fit no stage of dvc.yaml.
OTHER = "other"


@dataclass(frozen=True)
class Run:
    """A run record: its file, its template in dvc.yaml, its hashes, and its last use (seconds since 1970).

    `key` is the run-cache key, which is also the name of the file's folder.
    """

    path: Path
    key: str
    stage: str
    hashes: frozenset[str]
    used: float
    needed: bool


def _hashes(document: Any) -> frozenset[str]:
    """The hashes of the outputs in the content of a record or a .dvc file; none if it is neither."""
    try:
        return frozenset(out["md5"] for out in document.get("outs") or () if out.get("md5"))
    except (AttributeError, KeyError, TypeError):
        return frozenset()


def _document(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        with contextlib.suppress(yaml.YAMLError, UnicodeDecodeError, ValueError):
            return yaml.load(content, Loader)
    return None


def _patterns(pipeline: Pipeline) -> dict[str, list[re.Pattern[str]]]:
    """For each template of dvc.yaml, patterns that its outputs match under any params."""
    return {
        name: [re.compile("[^/]+".join(map(re.escape, VARIABLE.split(out)[::2]))) for out in template.get("outs", [])]
        for name, template in pipeline.templates.items()
    }


def _stage(document: Any, patterns: dict[str, list[re.Pattern[str]]]) -> str:
    try:
        outs = [out["path"] for out in document["outs"]]
    except (KeyError, TypeError):
        return OTHER
    for name, of_template in patterns.items():
        if outs and all(any(pattern.fullmatch(out) for pattern in of_template) for out in outs):
            return name
    return OTHER


def _journal() -> dict[str, float]:
    """When each run-cache key was last used here, from the runner's log."""
    used: dict[str, float] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in RUNNER_LOG.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                used[entry["key"]] = max(used.get(entry["key"], 0.0), float(entry["at"]))
    return used


def _tracked() -> Iterator[str]:
    """Hashes in the .dvc files of this project: data that `dvc add` put into the cache."""
    for folder, folders, names in os.walk("."):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            if name.endswith(".dvc") and path.is_file():
                yield from _hashes(load_yaml(path))


@dataclass(frozen=True)
class Inventory:
    """All runs, and the hashes that are needed even if no run names them."""

    runs: tuple[Run, ...]
    needed: frozenset[str]
    audit: Audit


def _present(audit: Audit, stage: Stage) -> Iterator[Record]:
    """The records that the present params need of a stage.

    Where there is no result for the present inputs, they are those that it may turn out to need: an input is not known
    yet, since a stage above has to run, and may have the old bytes again; or its code was edited, and `accept` may
    take the old result over.
    """
    if result := audit.result(stage):
        yield result
        return
    wanted = audit.wanted(stage)
    for old in audit.older(stage):
        if {d.kind for d in differences(old, wanted)} <= {"code"}:
            yield old


def take(pipeline: Pipeline, store: Store) -> Inventory:
    """The inventory of the cache of `store`, for the present params."""
    audit = Audit(pipeline, store)
    keys, hashes = set(), set(_tracked())
    for stage in pipeline.topological():
        for record in _present(audit, stage):
            keys.update(record.keys)
            hashes |= {md5 for md5 in record.made.values() if md5}
    for addr, document in store.records.documents().items():
        hashes |= _hashes(document)
        if record := Record.read(document):
            keys.update(record.keys)
        elif not _hashes(document):
            raise ProjectError(f"dvc.lock: the entry of {addr} cannot be read, so nothing says what it needs")
    return Inventory(tuple(_runs(store.cache, pipeline, keys)), frozenset(hashes), audit)


def _runs(cache: Cache, pipeline: Pipeline, needed: Iterable[str]) -> Iterator[Run]:
    patterns, journal, needed = _patterns(pipeline), _journal(), set(needed)
    for path in sorted((cache.root / "runs").glob("*/*/*")):
        key = path.parent.name
        with contextlib.suppress(FileNotFoundError):  # deleted by another user of the cache
            document, used = _document(path.read_bytes()), path.stat().st_mtime
            yield Run(
                path=path,
                key=key,
                stage=_stage(document, patterns),
                hashes=_hashes(document),
                used=max(used, journal.get(key, 0.0)),
                needed=key in needed,
            )
