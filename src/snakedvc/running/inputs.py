"""A stage's inputs as they are now: their hashes, and whether these are the bytes that their own stages recorded.

Knows records and the cache.  Runs nothing.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from snakedvc.code.freeze import code_entries
from snakedvc.dvcfiles.cache import Cache, DamagedObjectError, MissingObjectError
from snakedvc.dvcfiles.digest import digest, files_under, hash_files, listing_md5
from snakedvc.dvcfiles.locks import half_written
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.record import Entry, Record
from snakedvc.dvcfiles.seen import Tree
from snakedvc.dvcfiles.store import Store, say
from snakedvc.dvcfiles.templates import DVC_YAML
from snakedvc.errors import ProjectError
from snakedvc.settings import load_settings

ALTERED = Path(".dvc/tmp/altered")


class RefusedError(ProjectError):
    """An input is not what it should be, so nothing may be computed from it."""


def data_entries(pipeline: Pipeline, stage: Stage) -> list[Entry]:
    """Entries of the data deps.  If other stages fill a folder, only the configured runs in it are hashed."""
    entries = []
    given = set(pipeline.given(stage))
    for dep in stage.data:
        made = pipeline.made_under(dep, stage)
        if not made and dep not in given:
            entries.append(Entry(dep, listing_md5({}), 0, 0))  # nothing is configured that would fill it
            continue
        only = None if made in ([], [dep]) else made
        for path in made or [dep]:
            if not os.path.exists(path):
                maker = pipeline.producers.get(path)
                what = f"make it with `snakemake {path}`" if maker else "put it there"
                raise ProjectError(f"{stage.addr}: its input {path} is missing: {what}")
        entries.append(digest(Path(dep), only).entry(dep))
    return entries


def current_record(pipeline: Pipeline, stage: Stage, code_root: Path = Path()) -> Record:
    """The record that a run would have before it starts.  Code is read below `code_root`."""
    return pipeline.record(stage, code_entries(stage, code_root) + data_entries(pipeline, stage))


def _recorded(pipeline: Pipeline, maker: Stage, path: str, store: Store) -> list[str | None]:
    """The hashes that output `path` of stage `maker` may have: from its last record and its present run records."""
    own = store.last(maker)
    found = [own] if own else []
    with contextlib.suppress(ProjectError):  # its own inputs may be gone; then only its last record counts
        found += store.cache.records(current_record(pipeline, maker).key)
    return [record.made[path] for record in found if path in record.made]


def _changed_files(path: Path, want: str, cache: Cache) -> str:
    """For the error message: a few of the files of folder `path` that differ from listing `want`."""
    try:
        listed = cache.listing(want)
    except (MissingObjectError, DamagedObjectError):
        return ""
    there, _ = hash_files(dict(files_under(path)))
    names = sorted(n for n in listed.keys() | there.keys() if listed.get(n) != there.get(n))
    return f" (differs in {', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def set_aside(path: Path) -> Path:
    """Move an edited output away, so that it is made again and the edit is not lost."""
    for i in range(10_000):
        target = ALTERED / str(i) / path
        if not (ALTERED / str(i)).exists():
            target.parent.mkdir(parents=True)
            shutil.move(path, target)  # they may lie on another disk
            return target
    raise ProjectError(f"{ALTERED}: full of altered outputs; delete it")


def keep_uncached(addr: str, found: Mapping[str, str | None], cache: Cache) -> None:
    """Set aside the outputs with these hashes that the cache lacks: somebody made them by hand."""
    for out, md5 in found.items():
        if md5 and not cache.object_path(md5).exists():
            say(f"{out} is not what stage {addr} made: it is now {set_aside(Path(out))}")


def keep_edits(stage: Stage, store: Store) -> None:
    """Set aside what was edited among the outputs of a stage that is about to run: its run removes them.

    Half-written outputs are nobody's edits, and neither are those of the last run that the cache has lost.  The caller
    holds the stage's lock.
    """
    if half_written(stage.addr) or not any(map(os.path.exists, stage.outs)):
        return
    found = Tree(write=False).hashes(stage.addr, stage.outs)
    last = store.last(stage)
    made = last.made if last else {}
    keep_uncached(stage.addr, {out: md5 for out, md5 in found.items() if md5 != made.get(out)}, store.cache)


def check_inputs(pipeline: Pipeline, stage: Stage, store: Store) -> None:
    """Refuse inputs that differ from what their stage recorded: edited by hand, damaged or half written."""
    for path in pipeline.inputs(stage):
        maker = pipeline.producers.get(path)
        if maker is None:
            continue
        found = digest(Path(path)).md5
        last = store.last(maker)
        if last is None or last.made.get(path) == found:
            continue
        wanted = _recorded(pipeline, maker, path, store)
        if wanted and found not in wanted:
            where = _changed_files(Path(path), wanted[0], store.cache) if found.endswith(".dir") else ""
            aside = set_aside(Path(path))
            raise RefusedError(
                f"{stage.addr}: refused: {path} is not what stage {maker.addr} made{where}; "
                f"it is now {aside}: run the same command again to make {path} anew"
            )


def keyed_files(stage: Stage) -> dict[str, str]:
    """Code that a file of `keyed-by` names under `also`, with its sha256: files of the user's, in no folder of ours."""
    found: dict[str, str] = {}
    names = set(load_settings().keyed_by.values())
    for path in (Path(d) for d in stage.data if Path(d).name in names):
        with contextlib.suppress(OSError, ValueError):  # a missing or damaged input is told when inputs are checked
            document = json.loads(path.read_text())
            found |= document.get("also", {}) if isinstance(document, dict) else {}
    return found


def check_keyed_code(pipeline: Pipeline, stage: Stage, frozen: Path, store: Store) -> None:
    """Refuse code whose hash is in an input, if the stage that made this input read other code.

    Such a folder of `keyed-by` is in no key of `stage`.  If its code was edited later, the new code would run under the
    hash of the old one.
    """
    for folder, file in load_settings().keyed_by.items():
        for path in (d for d in stage.data if Path(d).name == file):
            maker = pipeline.producers.get(path)
            if maker is None:
                continue
            if folder not in maker.code:
                raise ProjectError(f"{DVC_YAML}: stage {maker.name} makes {path}: list {folder} in its deps")
            last = store.last(maker)
            if last and last.code.get(folder) != digest(frozen / folder).md5:
                raise RefusedError(
                    f"{stage.addr}: refused: {folder} changed after stage {maker.addr} read it: run again"
                )
    for path, sha256 in keyed_files(stage).items():
        if hashlib.sha256((frozen / path).read_bytes()).hexdigest() != sha256:
            raise RefusedError(f"{stage.addr}: refused: {path} changed after its hash was taken: run again")
