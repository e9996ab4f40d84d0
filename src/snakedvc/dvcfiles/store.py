"""All existing results: each stage's last record, the run cache with its objects, and the remote.

Finds the results of given inputs, and brings their outputs back whole and undamaged, or not at all.  Does not decide
when a stage runs.
"""

import contextlib
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from snakedvc.dvcfiles.cache import Cache, DamagedObjectError, MissingObjectError
from snakedvc.dvcfiles.config import read_config
from snakedvc.dvcfiles.pipeline import Stage
from snakedvc.dvcfiles.record import Record
from snakedvc.dvcfiles.records import Records
from snakedvc.dvcfiles.remote import Remote, open_remote
from snakedvc.errors import no_room

T = TypeVar("T")
Outcome = Literal["restored", "missing", "damaged"]


def say(line: str) -> None:
    """Print one line to the terminal."""
    print(line, file=sys.stderr, flush=True)


def remove(outs: Iterable[str]) -> None:
    """Delete outputs from the working tree.  The cache keeps its objects."""
    for out in map(Path, outs):
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        else:
            out.unlink(missing_ok=True)


def ask_remote(question: Callable[..., T], *args: Any, default: T) -> T:
    """The remote's answer, or `default` with a warning if the remote cannot be reached.

    OSError if a disk of this machine takes nothing: a remote is only read, and what it has must not be computed anew.
    """
    try:
        return question(*args)
    except Exception as e:  # each kind of remote raises its own library's errors
        if no_room(e):
            raise
        say(f"the DVC remote did not answer ({type(e).__name__}: {e}): going on without it")
        return default


class Store:
    """The results of this project, here and in its default remote."""

    def __init__(self, *, mend: bool = True) -> None:
        """With `mend`, damaged objects and run records are deleted from the cache."""
        config = read_config()
        self._mend = mend
        self.cache, self.remote, self.records = Cache(config.cache_dir, mend=mend), open_remote(config), Records()

    def last(self, stage: Stage) -> Record | None:
        """The last record of `stage`; None if it was never made.

        DVC calls an item that is a mapping by its place in the list.  So a record of other outputs is another item's.
        """
        last = self.records.get(stage.entry)
        return last if last and not last.made.keys().isdisjoint(stage.outs) else None

    def here(self, wanted: Record, stage: Stage) -> Iterator[Record]:
        """Results of exactly these inputs on this machine: the run cache's, newest first, then dvc.lock's."""
        last = self.last(stage)
        # A plain `dvc pull` brings objects and dvc.lock, but no run records.

        def damaged(name: str) -> None:
            said = "it is made again" if self._mend else "a run makes it again"
            say(f"{stage.addr}: run record {name[:8]} in the cache is damaged: {said}")

        cached = [record for key in wanted.keys for record in self.cache.records(key, damaged)]
        yield from _fitting(wanted, [*cached, *([last] if last else [])])

    def elsewhere(self, wanted: Record) -> Iterator[Record]:
        """Results of exactly these inputs in the remote."""
        if self.remote:

            def damaged(name: str) -> None:
                say(f"run record {name[:8]} in the remote is damaged and is not used")

            for key in wanted.keys:
                yield from _fitting(wanted, ask_remote(self.remote.records, key, damaged, default=[]))

    @cached_property
    def reachable(self) -> Remote | None:
        """The remote, if it answers: asked once, where many questions would each wait for it in vain."""
        return self.remote if self.remote and ask_remote(self.remote.answers, default=False) else None

    def listing_elsewhere(self, md5: str) -> dict[str, str]:
        """The files of folder object `md5` by the remote's listing; MissingObjectError if it has none."""
        with contextlib.suppress(FileNotFoundError, DamagedObjectError):
            if self.reachable:
                return self.reachable.listing(md5)
        raise MissingObjectError([md5])

    def missing_everywhere(self, hashes: Iterable[str]) -> list[str]:
        """Names of the objects that neither the cache nor the remote has."""
        absent = self.cache.missing(hashes)
        return ask_remote(self.reachable.missing, absent, default=absent) if absent and self.reachable else absent

    def save(self, record: Record) -> None:
        """Note a result, whose objects are in the cache."""
        if not self.cache.has_record(record):
            self.cache.save_record(record)

    def drop_damaged_listings(self, addr: str, hashes: Iterable[str]) -> list[str]:
        """Say which listings of folders among `hashes` are damaged, and drop them with `mend`.  Returns their names."""
        damaged = []
        for md5 in hashes:
            if md5.endswith(".dir"):
                try:
                    self.cache.listing(md5)
                except MissingObjectError:
                    pass
                except DamagedObjectError:
                    self.say_damaged(addr, md5)
                    damaged.append(md5)
        return damaged

    def say_damaged(self, addr: str, md5: str) -> None:
        """Name a damaged listing of a stage's output."""
        say(f"{addr}: cache object {md5} is damaged and is not used")

    def restore(
        self,
        record: Record,
        addr: str,
        only: Collection[str] | None = None,
        make_room: Callable[[list[str]], None] = remove,
    ) -> Outcome:
        """Bring back the outputs of `record`, or those in `only`: whole and undamaged, or not at all."""
        outs = {path: md5 for path, md5 in record.made.items() if only is None or path in only}
        hashes = list(outs.values())
        outcome: Outcome = "damaged" if self.drop_damaged_listings(addr, hashes) else "missing"
        for _ in range(2):  # a damaged object may come back sound from the remote
            if self.remote and self.cache.missing(hashes):
                for name in ask_remote(self.remote.fetch, hashes, self.cache, default=[]):
                    say(f"{addr}: object {name} in the remote is damaged")
                    outcome = "damaged"
            if self.cache.missing(hashes):
                break
            make_room(list(outs))
            try:
                for path, md5 in outs.items():
                    self.cache.restore(md5, Path(path))
                return "restored"
            except MissingObjectError:  # another process has just deleted it
                pass
            except DamagedObjectError as e:
                say(f"{addr}: cache object {e} is damaged and was dropped")
                outcome = "damaged"
            except BaseException:
                remove(outs)
                raise
            remove(outs)
        return outcome


def _fitting(wanted: Record, found: Iterable[Record]) -> Iterator[Record]:
    """The records with exactly the wanted inputs: a record of other inputs must never look valid."""
    yield from (r for r in found if r.inputs == wanted.inputs and r.made.keys() == wanted.made.keys())
