"""Find every stage's result for the present params, code and inputs, and how these differ from older ones.

The hashes of inputs follow from the results of the stages above.  So no file that a stage made is read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from snakedvc.dvcfiles.hashes import DepHashes
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.record import Record
from snakedvc.dvcfiles.store import Store

# value: something that decides a result has another value.  listed: dvc.yaml lists more of these things, or fewer.
Kind = Literal["code", "command", "listed", "value"]


@dataclass(frozen=True)
class Difference:
    """One thing that differs between two records."""

    kind: Kind
    what: str


def param_changes(old: Any, new: Any, name: str) -> list[str]:
    """`train.steps: 3 -> 4` for every leaf that differs below `name`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(k for k in new if k not in old)]
        return [line for k in keys for line in param_changes(old.get(k), new.get(k), f"{name}.{k}")]
    return [] if old == new else [f"{name}: {old} -> {new}"]


def _listed(old: Mapping[str, Any], new: Mapping[str, Any], kind: Kind, word: str) -> Iterator[Difference]:
    for name in sorted(old.keys() ^ new.keys()):
        yield Difference(kind, f"{name} is {f'a new {word}' if name in new else f'no longer a {word}'}")


def differences(old: Record, new: Record) -> Iterator[Difference]:
    """What differs between the inputs of two records.  An unknown hash of `new` counts as equal."""
    if old.cmd != new.cmd:
        yield Difference("command", "its command in dvc.yaml changed")
    yield from _listed(old.params, new.params, "listed", "param")
    for name in sorted(old.params.keys() & new.params.keys()):
        yield from (Difference("value", line) for line in param_changes(old.params[name], new.params[name], name))
    yield from _listed(old.code, new.code, "code", "dep")
    yield from _listed(old.data, new.data, "listed", "dep")
    for kind, before, now in (("code", old.code, new.code), ("value", old.data, new.data)):
        for path in sorted(before.keys() & now.keys()):
            if now[path] is not None and now[path] != before[path]:
                yield Difference(kind, f"{path} changed")


class Audit:
    """What is known of each stage's result.  It is found once for every stage, producers before readers."""

    def __init__(self, pipeline: Pipeline, store: Store) -> None:
        self._pipeline, self._store = pipeline, store
        self._hashes = DepHashes(pipeline, self._made, lambda _, md5: store.cache.listing(md5))
        self._wanted: dict[str, Record] = {}
        self._results: dict[str, Record | None] = {}
        self._by_outs: dict[tuple[str, ...], list[Record]] | None = None

    def _made(self, out: str) -> str | None:
        result = self.result(self._pipeline.producers[out])
        return result.made[out] if result else None

    def wanted(self, stage: Stage) -> Record:
        """The record that a run would have before it starts.  An input that is not known yet has no hash."""
        if stage.addr not in self._wanted:
            self._wanted[stage.addr] = self._pipeline.record(stage, self._hashes.entries(stage))
        return self._wanted[stage.addr]

    def waits_for(self, stage: Stage) -> list[Stage]:
        """The stages above that have to run first."""
        return [up for up in self._pipeline.upstream(stage) if self.result(up) is None]

    def result(self, stage: Stage) -> Record | None:
        """The result for the present inputs; None if there is none, or if an input is not known."""
        if stage.addr not in self._results:
            wanted = self.wanted(stage)
            known = all(d.md5 for d in wanted.deps)
            self._results[stage.addr] = next(self._store.here(wanted, stage), None) if known else None
        return self._results[stage.addr]

    def take(self, stage: Stage, record: Record) -> None:
        """Use `record` as the result of `stage` from now on."""
        self._results[stage.addr] = record

    def older(self, stage: Stage) -> list[Record]:
        """Results with the same output paths from any inputs: the stage's last, then the run cache's, newest first."""
        if self._by_outs is None:
            self._by_outs = {}
            for record in self._store.cache.all_records():
                self._by_outs.setdefault(tuple(record.made), []).append(record)
        paths, last = tuple(sorted(stage.outs)), self._store.last(stage)
        own = [last] if last and tuple(last.made) == paths else []
        return own + self._by_outs.get(paths, [])
