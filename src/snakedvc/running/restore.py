"""Bring a stage's outputs back: which records of earlier runs may stand for it, their objects from cache and remote.

Used by the runner of a single stage and by the driver before it plans.  Decides nothing about when to run.
"""

import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from snakedvc.dvcfiles.cache import Cache, DamagedObjectError, MissingObjectError
from snakedvc.dvcfiles.pipeline import Stage
from snakedvc.dvcfiles.records import Record, Records, inputs_of
from snakedvc.dvcfiles.remote import Remote

T = TypeVar("T")
Outcome = Literal["restored", "missing", "damaged"]


def say(line: str) -> None:
    """One line to the terminal."""
    print(line, file=sys.stderr, flush=True)


def remove(outs: Iterable[str]) -> None:
    """Delete outputs from the working tree; the cache keeps what it has."""
    for out in map(Path, outs):
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        else:
            out.unlink(missing_ok=True)


def ask_remote(question: Callable[..., T], *args: Any, default: T) -> T:
    """The remote's answer; one that cannot be reached is no reason not to go on."""
    try:
        return question(*args)
    except Exception as e:  # each kind of remote raises its own library's errors
        say(f"the DVC remote did not answer ({type(e).__name__}: {e}): going on without it")
        return default


def known_here(key: str, wanted: Record, last: Record | None, cache: Cache) -> Iterator[Record]:
    """Records of earlier runs from just these inputs: the run cache's, dvc.lock's."""
    yield from cache.records(key)
    # After a plain `dvc pull` there are objects and dvc.lock, but no run records.  Compared before anything is
    # recorded anew: a lock entry of other inputs must never look valid.
    if last is not None and inputs_of(last) == inputs_of(wanted):
        yield last


def candidates(
    key: str, wanted: Record, addr: str, records: Records, cache: Cache, remote: Remote | None
) -> Iterator[Record]:
    """The same, and then the remote's."""
    yield from known_here(key, wanted, records.get(addr), cache)
    if remote:
        yield from ask_remote(remote.records, key, default=[])


def restore(
    stage: Stage,
    record: Record,
    cache: Cache,
    remote: Remote | None,
    only: Collection[str] | None = None,
    make_room: Callable[[list[str]], None] = remove,
) -> Outcome:
    """Bring the outputs of `record` back, or those in `only`: whole and undamaged, or not at all."""
    if sorted(o["path"] for o in record["outs"]) != sorted(stage.outs):
        return "missing"
    entries = [o for o in record["outs"] if only is None or o["path"] in only]
    paths = [o["path"] for o in entries]
    outcome: Outcome = "missing"
    for _ in range(2):  # a damaged object may come back sound from the remote
        if remote and cache.missing(entries):
            for name in ask_remote(remote.fetch, entries, cache, default=[]):
                say(f"{stage.addr}: object {name} in the remote is damaged")
                outcome = "damaged"
        if cache.missing(entries):
            break
        make_room(paths)
        try:
            for entry in entries:
                cache.restore(entry)
            return "restored"
        except MissingObjectError:  # deleted meanwhile
            pass
        except DamagedObjectError as e:
            say(f"{stage.addr}: cache object {e} is damaged and was dropped")
            outcome = "damaged"
        remove(paths)
    return outcome
