"""The stages of dvc.yaml under these params: which there are, what each reads and makes, and in what order they go.

A stage that reads a folder which others fill may say which of them it means: `meta: {only: {method: some.params}}`
means those whose matrix has, at `method`, a value of the list `some.params`.  `meta: {may_be_empty: true}` lets the
list of a stage's matrix be empty: then there is no job of it, and a folder that it alone would fill is empty.  DVC
itself ignores `meta`.

Knows nothing of Snakemake, of caches or of what a stage does.  load.py makes a pipeline of the two files.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from snakedvc.dvcfiles.record import CODE_ROOT, Entry, Record
from snakedvc.dvcfiles.templates import ITEM, Axes, in_place, lookup, matrix, paths, resolve
from snakedvc.errors import ProjectError


@dataclass(frozen=True)
class Stage:
    """One concrete stage: `train@full-1` is stage `train` with the item method=full, seed=1.

    `entry` is what DVC calls it, in dvc.lock too: another name than `addr` if an item is a mapping.  `named`: those of
    `deps` that dvc.yaml does not list, since params name them (settings.py).  `item` has what
    each axis of its matrix is called here.  `only` has the items, by axis, of the stages that its folder deps mean.
    """

    name: str
    addr: str
    entry: str
    cmd: str
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]
    named: tuple[str, ...] = ()
    item: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def means(self, other: "Stage") -> bool:
        """Whether it reads what `other` fills of a folder."""
        return all(other.item[axis] in names for axis, names in self.only.items() if axis in other.item)

    @cached_property
    def code(self) -> tuple[str, ...]:
        """The deps that are first-party source files, sorted."""
        return tuple(sorted(d for d in self.deps if d.startswith(CODE_ROOT)))

    @cached_property
    def data(self) -> tuple[str, ...]:
        """All other deps as dvc.yaml writes them, sorted."""
        return tuple(sorted(d for d in self.deps if not d.startswith(CODE_ROOT)))

    @property
    def log_dir(self) -> Path:
        """Where this stage's logs, benchmark and provenance go."""
        return Path("logs", self.name, self.addr)


@dataclass(frozen=True)
class Pipeline:
    """dvc.yaml resolved with the params: every concrete stage by its address, in the file's order."""

    templates: Mapping[str, Mapping[str, Any]]
    params: Mapping[str, Any]
    stages: Mapping[str, Stage] = field(repr=False)

    @cached_property
    def producers(self) -> dict[str, Stage]:
        """The stage that makes each output path."""
        return {out: stage for stage in self.stages.values() for out in stage.outs}

    @cached_property
    def _axes(self) -> dict[str, Axes]:
        return {name: matrix(name, t, self.params) for name, t in self.templates.items()}

    def stage(self, addr: str) -> Stage:
        """The concrete stage at `addr`.  If there is none, a ProjectError lists those that exist."""
        if addr not in self.stages:
            raise ProjectError(f"dvc.yaml: no stage {addr!r} under these params; there are {', '.join(self.stages)}")
        return self.stages[addr]

    def matching(self, name: str) -> list[Stage]:
        """The concrete stages that `name` means: all stages of a template, or the one at an address."""
        found = [s for s in self.stages.values() if s.name == name]
        return found or [self.stage(name)]

    def made_under(self, dep: str, reader: Stage | None = None) -> list[str]:
        """The outputs of configured stages that `dep` means: itself, or all outputs below it if stages fill it.

        Of those that fill it, only what `reader` means, if one is given.
        """
        if dep in self.producers:
            return [dep]
        below = self._below.get(dep.rstrip("/"), ())
        return [out for out in below if reader is None or reader.means(self.producers[out])]

    @cached_property
    def _below(self) -> dict[str, list[str]]:
        """Of each folder, the outputs below it, sorted."""
        found: dict[str, list[str]] = {}
        for out in sorted(self.producers):
            for slash in re.finditer("/", out):
                found.setdefault(out[: slash.start()], []).append(out)
        return found

    @cached_property
    def _inputs(self) -> dict[str, tuple[Stage, list[str]]]:
        return {}

    def inputs(self, stage: Stage) -> list[str]:
        """Concrete data inputs of `stage`.  For a folder that other stages fill, these are the runs that it means."""
        known, found = self._inputs.get(stage.addr, (None, []))
        if known is not stage:
            given = set(self.given(stage))
            paths = ([d] if d in given else self.made_under(d, stage) for d in stage.data)
            found = list(itertools.chain.from_iterable(paths))
            self._inputs[stage.addr] = stage, found
        return found.copy()

    def given(self, stage: Stage) -> list[str]:
        """Data deps that no stage makes.  The user provides these files and folders."""
        return [d for d in stage.data if not self.made_under(d) and not self._left_empty(d)]

    def _left_empty(self, dep: str) -> bool:
        """Whether `dep` is a folder that stages would fill whose matrix is empty under these params."""
        return any(out.startswith(dep.rstrip("/") + "/") for out in self._outs_of_none)

    @cached_property
    def _outs_of_none(self) -> list[str]:
        """The outputs of templates whose matrix is empty, each up to where its item would stand."""
        stages = {stage.name for stage in self.stages.values()}
        found = []
        for name in self.templates.keys() - stages:
            for path in paths(name, self.templates[name]["outs"]):
                found.append(resolve(ITEM.split(path)[0], self.params, f"stage {name}"))
        return found

    @cached_property
    def _upstream(self) -> dict[str, list[Stage]]:
        return {}

    def upstream(self, stage: Stage) -> list[Stage]:
        """The stages whose outputs `stage` reads, each once."""
        if stage.addr not in self._upstream:
            made = (self.producers[i] for i in self.inputs(stage) if i in self.producers)
            self._upstream[stage.addr] = list({s.addr: s for s in made}.values())
        return self._upstream[stage.addr]

    def above(self, addr: str) -> list[Stage]:
        """The stage at `addr` and all that it needs, producers before their readers."""
        return list(self._visit([self.stage(addr)]))

    def values(self, stage: Stage) -> dict[str, Any]:
        """The params that dvc.yaml lists for `stage`, by dotted name, sorted."""
        return {name: lookup(self.params, name, f"stage {stage.name}") for name in sorted(stage.params)}

    def record(self, stage: Stage, deps: Iterable[Entry]) -> Record:
        """The record of a run of `stage` with these deps, before it starts."""
        outs = tuple(Entry(path) for path in sorted(stage.outs))
        return Record(stage.cmd, tuple(sorted(deps, key=lambda d: d.path)), self.values(stage), outs)

    def axes(self, name: str) -> dict[str, list[str]]:
        """The matrix of template `name`: what each wildcard's values are called."""
        return {axis: [value.name for value in values] for axis, values in self._axes[name].items()}

    def out_patterns(self, name: str) -> list[str]:
        """The outputs of template `name` with `{axis}` in place of each of the item's values."""
        item = {axis: in_place(values[0], f"{{{axis}}}") for axis, values in self._axes[name].items()}
        context = {**self.params, "item": item}
        return [resolve(p, context, f"stage {name}") for p in paths(name, self.templates[name]["outs"])]

    def topological(self) -> Iterator[Stage]:
        """All concrete stages, producers before their readers."""
        return self._visit(self.stages.values())

    def _visit(self, wanted: Iterable[Stage]) -> Iterator[Stage]:
        done: set[str] = set()

        def visit(stage: Stage, path: tuple[str, ...]) -> Iterator[Stage]:
            if stage.addr in path:
                raise ProjectError(f"dvc.yaml: stages depend on each other: {' -> '.join([*path, stage.addr])}")
            if stage.addr not in done:
                for up in self.upstream(stage):
                    yield from visit(up, (*path, stage.addr))
                done.add(stage.addr)
                yield stage

        for stage in wanted:
            yield from visit(stage, ())
