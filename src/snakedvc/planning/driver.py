"""Decide for every stage, before Snakemake plans, whether it needs a job.  Stages in a cache are restored here.

To settle a stage is to decide this.  Stages are settled in DAG order.  The hashes of a stage's inputs follow from the
records of the stages above it, so a whole chain in the cache needs no job.  A dry run decides the same and writes
nothing.  Knows neither Snakemake nor what a stage does.
"""

import functools
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from snakedvc.dvcfiles.cache import DamagedObjectError, MissingObjectError
from snakedvc.dvcfiles.digest import files_under, hash_files
from snakedvc.dvcfiles.hashes import DepHashes
from snakedvc.dvcfiles.locks import attempt, half_written, mark, stage_lock, unmark
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.record import Record
from snakedvc.dvcfiles.records import altered_entries, fold, refresh_mirror, save_fragment
from snakedvc.dvcfiles.seen import Tree, accept, remember, signature, signatures
from snakedvc.dvcfiles.store import Store, ask_remote, remove, say
from snakedvc.planning.mixed import put_away
from snakedvc.running import journal
from snakedvc.running.inputs import keep_edits, keep_uncached

# right: its outputs are in place.  restored: they were brought back, or would be in a dry run.  run: it has to run, and
# the hashes of its outputs are not known.  For the other states the hashes are known, but the outputs cannot be brought
# back: lost (in no cache), damaged (found just now), busy (another process is working on them).
State = Literal["right", "restored", "run", "lost", "damaged", "busy"]
UNAVAILABLE: tuple[State, ...] = ("lost", "busy")
# How long the driver waits for another process that is bringing the same outputs back.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Settled:
    """The decision on a stage, and the hashes of its outputs: None if they cannot be known yet."""

    state: State
    outs: dict[str, str] | None = None


class Driver:
    """Settles stages on request, each once."""

    def __init__(
        self,
        pipeline: Pipeline,
        write: bool,
        forced: Callable[[Stage], bool],
        target: Callable[[Stage], bool],
        reserved: Collection[str] = (),
    ) -> None:
        """If `write` is false, nothing is changed.

        `forced`: a stage that has to be a job; `target`: one that the user asked for; `reserved`: files that other
        drivers use.
        """
        self._pipeline, self._write, self._forced, self._target = pipeline, write, forced, target
        self._reserved = frozenset(reserved)
        self._hashes = DepHashes(pipeline, self._made, self._listing, write)
        self._tree = Tree(write)
        self._settled: dict[str, Settled] = {}
        self._listings: dict[str, dict[str, str]] = {}
        if write:
            if altered := altered_entries():
                some = ", ".join(altered[:3]) + (f" and {len(altered) - 3} more" if len(altered) > 3 else "")
                say(f"dvc.lock is not as the last run left it (Git, DVC or damage): {some}; the cache decides")
            fold()  # also what a killed driver has left
            refresh_mirror()
        self._store = Store(mend=write)
        if write:
            put_away(pipeline, self._store, self._reserved)

    def _made(self, out: str) -> str | None:
        return (self._settled[self._pipeline.producers[out].addr].outs or {}).get(out)

    def _listing(self, out: str, md5: str) -> dict[str, str]:
        store = self._store
        addr = self._pipeline.producers[out].addr
        if md5 in self._listings:
            return self._listings[md5]
        try:
            self._listings[md5] = store.cache.listing(md5)
            return self._listings[md5]
        except MissingObjectError:
            pass
        except DamagedObjectError:
            store.say_damaged(addr, md5)
        if self._settled[addr].state == "right":
            return hash_files(dict(files_under(Path(out))))[0]
        if store.remote is None:
            raise MissingObjectError([md5])
        return ask_remote(store.remote.listing, md5, default={})

    def settle(self, addr: str) -> list[str]:
        """Settle the stage at `addr` and all above it.  Returns the addresses that were not settled before."""
        new = []
        for stage in self._pipeline.above(addr):
            if stage.addr not in self._settled:
                self._settled[stage.addr] = self._decide(stage)
                new.append(stage.addr)
        if self._write and any(self._settled[a].state == "restored" for a in new):
            fold()
        self._report(new)
        return new

    def state(self, addr: str) -> State:
        """The decision on a settled stage."""
        return self._settled[addr].state

    def check_writable(self) -> None:
        """Refuse to start jobs whose outputs could not be kept."""
        self._store.cache.check_writable()

    def jobs(self) -> set[str]:
        """The stages that have to be jobs.

        A lost or busy stage is a job only if the user asked for it, or if a job reads it.
        """
        jobs = {addr for addr, settled in self._settled.items() if settled.state in ("run", "damaged")}
        for addr in reversed(self._settled):  # readers before what they read
            stage = self._pipeline.stage(addr)
            if addr in jobs or (self.state(addr) in UNAVAILABLE and self._target(stage)):
                jobs |= {addr} | {s.addr for s in self._pipeline.upstream(stage) if self.state(s.addr) in UNAVAILABLE}
        return jobs

    def save_edits(self, addrs: Collection[str]) -> None:
        """Set aside edited outputs of stages that are jobs, before Snakemake removes them."""
        for stage in map(self._pipeline.stage, addrs):
            if self._write and self._reserved.isdisjoint(stage.outs) and any(map(os.path.exists, stage.outs)):
                with patient(stage.addr, 0) as held:
                    if held:  # who holds it now writes them
                        keep_edits(stage, self._store)

    def with_readers(self, addrs: Collection[str]) -> set[str]:
        """The settled stages among `addrs`, and all that are below one of them."""
        found: set[str] = set()
        for addr in self._settled if addrs else ():  # producers before their readers
            if addr in addrs or any(s.addr in found for s in self._pipeline.upstream(self._pipeline.stage(addr))):
                found.add(addr)
        return found

    def _report(self, addrs: list[str]) -> None:
        back = Counter(self._pipeline.stage(a).name for a in addrs if self.state(a) == "restored")
        if back:
            what = ", ".join(f"{n} {name}" if n > 1 else name for name, n in back.items())
            verb = "restored" if self._write else "would be restored before any job starts"
            say(f"{back.total()} stage{'s' * (back.total() > 1)} {verb}: {what}")

    def _wanted(self, stage: Stage) -> Record | None:
        """The record that a run would have before it starts; None while an input is not known."""
        if self._forced(stage) or any(self._settled[s.addr].outs is None for s in self._pipeline.upstream(stage)):
            return None
        deps = self._hashes.entries(stage)
        return None if any(dep.md5 is None for dep in deps) else self._pipeline.record(stage, deps)

    def _decide(self, stage: Stage) -> Settled:
        wanted = self._wanted(stage)
        if wanted is None:
            return Settled("run")
        if (made := self._as_accepted(stage, wanted)) is not None:
            return Settled("right", made)
        known = list(self._store.here(wanted, stage))
        in_place = self._in_place(stage)
        for record in known:
            if in_place == record.made:
                self._accept(stage, record)
                return Settled("right", in_place)
        state: State = "lost"
        outs = known[0].made if known else None
        for record in itertools.chain(known, self._store.elsewhere(wanted)):
            outs = outs or record.made
            found = self._bring(stage, record, in_place)
            if found in ("right", "restored", "busy"):
                return Settled(found, record.made)
            state = "damaged" if found == "damaged" else state
        if state == "damaged" and self._write:
            self._hold_place(stage)
        return Settled(state, outs) if outs else Settled("run")

    def _as_accepted(self, stage: Stage, wanted: Record) -> dict[str, str] | None:
        """The hashes of the outputs, if they, their key and their run record are as they were when last accepted."""
        found = None if half_written(stage.addr) else self._tree.accepted(stage.addr, wanted.key, stage.outs)
        if found is None or signature(self._store.cache.record_path(wanted.key, found.name)) != found.file:
            return None
        last = self._store.records.brief(stage.entry)
        return found.made if not self._write or (last and last.name == found.name) else None

    def _in_place(self, stage: Stage) -> dict[str, str]:
        """The hashes of the outputs that lie in the working tree and are whole."""
        if half_written(stage.addr):
            return {}
        return {out: md5 for out, md5 in self._tree.hashes(stage.addr, stage.outs).items() if md5}

    def _bring(self, stage: Stage, record: Record, in_place: dict[str, str]) -> State:
        """Put the missing outputs of `record` in place.  In a dry run, tell only whether that is possible."""
        store, wrong = self._store, {out: md5 for out, md5 in record.made.items() if in_place.get(out) != md5}
        if not self._reserved.isdisjoint(wrong):
            return "busy"
        damaged = store.drop_damaged_listings(stage.addr, wrong.values())
        if damaged and store.remote is None:
            return "damaged"
        absent = store.cache.missing(wrong.values())
        if absent and store.remote is None:
            return "lost"
        if not self._write:
            lost = absent and store.remote and ask_remote(store.remote.missing, absent, default=absent)
            return ("damaged" if damaged else "lost") if lost else "restored"
        began = time.time()
        with patient(stage.addr, PATIENCE_S if not absent else 0) as held:
            if not held:
                return "busy"
            in_place = self._in_place(stage)  # again: another process may have brought it back while it held the lock
            if in_place == record.made:
                self._accept(stage, record)
                return "right"
            paths = [out for out, md5 in record.made.items() if in_place.get(out) != md5]
            room = functools.partial(self._make_room, stage.addr, in_place)
            found = store.restore(record, stage.addr, paths, room)
            if found == "restored" or not any(map(os.path.exists, paths)):
                unmark(stage.addr)
            if found != "restored":
                return "damaged" if damaged or found == "damaged" else "lost"
            remember(stage.addr, record.made, signatures(stage.outs))
            self._accept(stage, record)
        journal.note(stage.addr, "restored", record.key, time.time() - began)
        return "restored"

    def _hold_place(self, stage: Stage) -> None:
        """Make empty outputs, marked as half-written, for a stage that runs again although no other job may need it.

        If they were missing, Snakemake would run the stages below, which are settled already.
        """
        with patient(stage.addr, 0) as held:
            if held:
                keep_edits(stage, self._store)
                mark(stage.addr)
                for out in map(Path, stage.outs):
                    out.parent.mkdir(parents=True, exist_ok=True)
                    out.touch() if out.suffix else out.mkdir(exist_ok=True)

    def _make_room(self, addr: str, in_place: dict[str, str], outs: list[str]) -> None:
        """Remove outputs from the working tree.  Outputs that the cache lacks were made by hand and are kept.

        From here on the outputs of the stage are marked as half-written: not earlier, for what is edited is no part of
        a restore, and until now nothing was touched.
        """
        for out in filter(os.path.exists, outs):
            keep_uncached(addr, {out: in_place.get(out)}, self._store.cache)
        mark(addr)
        remove(outs)

    def _accept(self, stage: Stage, record: Record) -> None:
        """Note that the outputs in place are those of `record`, unless that is noted already."""
        if not self._write:
            return
        self._store.save(record)
        last = self._store.last(stage)
        if last is None or (last.inputs, last.made) != (record.inputs, record.made):
            save_fragment(stage.entry, record)
            last = record
        if last.name == record.name:
            accept(stage.addr, record.key, record.name, self._store.cache.record_path(record.key, record.name))


@contextmanager
def patient(addr: str, seconds: float) -> Iterator[bool]:
    """Try for `seconds` to take the lock of a stage.  Yields whether it is held here."""
    end = time.monotonic() + seconds
    while True:
        with attempt(stage_lock(addr)) as descriptor:
            if descriptor is not None or time.monotonic() >= end:
                yield descriptor is not None
                return
        time.sleep(0.1)
