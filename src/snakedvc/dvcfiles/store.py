"""Results that there are: what each stage last recorded, the run cache with its objects, and the remote.

Finds the results of given inputs and brings their outputs back, whole and undamaged or not at all.  Decides nothing
about when to run.
"""

import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from snakedvc.dvcfiles.cache import Cache, DamagedObjectError, MissingObjectError
from snakedvc.dvcfiles.config import read_config
from snakedvc.dvcfiles.record import Record
from snakedvc.dvcfiles.records import Records
from snakedvc.dvcfiles.remote import open_remote

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


class Store:
    """The results of this project, here and in its default remote."""

    def __init__(self, *, mend: bool = True) -> None:
        """With `mend`, damaged objects are deleted from the cache."""
        config = read_config()
        self.cache, self.remote, self.records = Cache(config.cache_dir, mend=mend), open_remote(config), Records()

    def here(self, wanted: Record, addr: str) -> Iterator[Record]:
        """Results of just these inputs that this machine knows: the run cache's, the newest first, then dvc.lock's."""
        last = self.records.get(addr)
        # After a plain `dvc pull` there are objects and dvc.lock, but no run records.
        yield from _fitting(wanted, [*self.cache.records(wanted.key), *([last] if last else [])])

    def elsewhere(self, wanted: Record) -> Iterator[Record]:
        """Those that the remote knows."""
        if self.remote:
            yield from _fitting(wanted, ask_remote(self.remote.records, wanted.key, default=[]))

    def save(self, record: Record) -> None:
        """Note a result, whose objects are in the cache."""
        if not self.cache.has_record(record):
            self.cache.save_record(record)

    def restore(
        self,
        record: Record,
        addr: str,
        only: Collection[str] | None = None,
        make_room: Callable[[list[str]], None] = remove,
    ) -> Outcome:
        """Bring the outputs of `record` back, or those in `only`: whole and undamaged, or not at all."""
        outs = {path: md5 for path, md5 in record.made.items() if only is None or path in only}
        hashes, outcome = list(outs.values()), "missing"
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
            except MissingObjectError:  # deleted meanwhile
                pass
            except DamagedObjectError as e:
                say(f"{addr}: cache object {e} is damaged and was dropped")
                outcome = "damaged"
            remove(outs)
        return outcome


def _fitting(wanted: Record, found: Iterable[Record]) -> Iterator[Record]:
    """Compared with care: a record of other inputs must never look valid."""
    yield from (r for r in found if r.inputs == wanted.inputs and r.made.keys() == wanted.made.keys())
