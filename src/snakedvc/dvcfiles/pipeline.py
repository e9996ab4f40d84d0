"""Read dvc.yaml, the only place that declares a stage's cmd, deps, params and outs, resolved with params.yaml.

It understands a part of DVC's language: `${...}` with params and `item`, and `matrix` over lists of scalars, or of
mappings of scalars.  Anything else is a ProjectError and no guess.

A stage that reads a folder which others fill may say which of them it means: `meta: {only: {method: some.params}}`
means those whose matrix has, at `method`, a value of the list `some.params`.  `meta: {may_be_empty: true}` lets the
list of a stage's matrix be empty: then there is no job of it, and a folder that it alone would fill is empty.  DVC
itself ignores `meta`.

Beside the deps that are written there, a stage has the code that its params name by a path (`named_code`).

A mapping is called by the value that stands in the outputs: where `replicate` has the item `{seed: 3, base: 1}` and an
output is `log-s${item.replicate.seed}`, the stage is `train@full-3`.  DVC calls it by its place in the list,
`train@full-replicate2`, and so does dvc.lock.

Knows nothing of Snakemake, of caches or of what a stage does.
"""

import contextlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from snakedvc.dvcfiles.record import CODE_ROOT, PARAMS_NAME, Entry, Record
from snakedvc.errors import ProjectError
from snakedvc.settings import Settings, load_settings
from snakedvc.yamlfile import load_yaml

DVC_YAML = Path("dvc.yaml")
PARAMS_YAML = Path(PARAMS_NAME)
NAMED_CODE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
VARIABLE = re.compile(r"\$\{\s*([^}]+?)\s*\}")
_ITEM = re.compile(r"\$\{\s*item\.")
_KNOWN_KEYS = {"desc", "matrix", "cmd", "deps", "params", "outs", "meta"}


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
class Value:
    """One value of a matrix axis: what it is called here and by DVC, and what `${item.<axis>}` stands for."""

    name: str
    entry: str
    content: str | Mapping[str, str]
    key: str | None = None  # of a mapping: the key whose value is `name`


Axes = dict[str, list[Value]]


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
        return {name: _matrix(name, t, self.params) for name, t in self.templates.items()}

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
            for path in _paths(name, self.templates[name]["outs"]):
                found.append(_resolve(_ITEM.split(path)[0], self.params, f"stage {name}"))
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
        item = {axis: _in_place(values[0], f"{{{axis}}}") for axis, values in self._axes[name].items()}
        context = {**self.params, "item": item}
        return [_resolve(p, context, f"stage {name}") for p in _paths(name, self.templates[name]["outs"])]

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


def lookup(tree: Any, dotted: str, reader: str) -> Any:
    """`tree[a][b]` for "a.b".  If a key is missing, a ProjectError names the reader."""
    node = tree
    for key in dotted.split("."):
        if isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, Mapping) and key in node:
            node = node[key]
        else:
            raise ProjectError(f"{PARAMS_YAML}: {dotted}: missing, but {reader} of {DVC_YAML} reads it")
    return node


def text(value: Any) -> str:
    """A scalar as DVC writes it into commands, paths and addresses."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _resolve(template: str, context: Mapping[str, Any], reader: str) -> str:
    def one(match: re.Match[str]) -> str:
        value = lookup(context, match.group(1), reader)
        if isinstance(value, (dict, list)) or value is None:
            raise ProjectError(f"{DVC_YAML}: {reader}: ${{{match.group(1)}}} is not a single value")
        return text(value)

    return VARIABLE.sub(one, template) if "${" in template else template


def _posix(path: str) -> str:
    """`path` as pathlib writes it.  Most paths are so already, and pathlib takes its time."""
    is_plain = path and not path.startswith(("/", "./")) and not path.endswith("/") and "//" not in path
    return path if is_plain and "/./" not in f"{path}/" and path != "." else PurePosixPath(path).as_posix()


def _in_place(value: Value, name: str) -> str | dict[str, str]:
    """`name` where the value's own name would stand."""
    return {value.key: name} if value.key else name


def _matrix(name: str, template: Mapping[str, Any], params: Mapping[str, Any]) -> Axes:
    axes: Axes = {}
    for axis, values in template.get("matrix", {}).items():
        where = f"{DVC_YAML}: stage {name}: matrix {axis}"
        if isinstance(values, str) and (match := VARIABLE.fullmatch(values)):
            where = f"{PARAMS_YAML}: {match.group(1)}"
            values = lookup(params, match.group(1), f"stage {name}")
        if not isinstance(values, list):
            raise ProjectError(f"{where}: must be a list, for matrix {axis} of stage {name} (got {values!r:.60})")
        if not values and not template.get("meta", {}).get("may_be_empty"):
            raise ProjectError(f"{where}: is empty, so stage {name} would have no job; list at least one {axis}")
        key = _telling_key(name, template, axis)
        axes[axis] = [_value(where, axis, i, value, key) for i, value in enumerate(values)]
        called = [value.name for value in axes[axis]]
        if len(set(called)) != len(called):
            raise ProjectError(
                f"{PARAMS_YAML}: the list for matrix {axis} of stage {name} holds a value twice: {', '.join(called)}"
            )
    return axes


def _telling_key(name: str, template: Mapping[str, Any], axis: str) -> str | None:
    """The key of a mapping in `axis` that stands in the outputs, and so tells the items apart."""
    keys = {key for out in map(str, template["outs"]) for key in re.findall(rf"\$\{{\s*item\.{axis}\.(\w+)\s*}}", out)}
    if len(keys) > 1:
        raise ProjectError(f"{DVC_YAML}: stage {name}: several keys of {axis} in its outs: {', '.join(sorted(keys))}")
    return next(iter(keys), None)


def _value(where: str, axis: str, i: int, value: Any, key: str | None) -> Value:
    if _is_scalar(value):
        return Value(text(value), text(value), text(value))
    if isinstance(value, Mapping) and key in value and all(map(_is_scalar, value.values())):
        content = {key: text(one) for key, one in value.items()}
        return Value(content[key], f"{axis}{i}", content, key)
    raise ProjectError(
        f"{where}: {value!r:.60}: must be a name or a number, or one of mappings of them of which one value stands in "
        "the outs"
    )


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _paths(name: str, entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            # persist: true would turn the run cache off.  With cache: false the bytes would be stored nowhere.
            raise ProjectError(f"{DVC_YAML}: stage {name}: {entry!r}: only plain, cached paths are supported here")


def _named(name: str, params: Mapping[str, Any], settings: Settings) -> tuple[str, ...]:
    """The files that params name for stage `name`: regular files and folders, whose content can be hashed."""
    found = tuple(PurePosixPath(path).as_posix() for path in settings.named_files(name, params))
    for path in found:
        if path.startswith(CODE_ROOT):
            raise ProjectError(f"{PARAMS_YAML}: {path}: {CODE_ROOT} is for code; put the file elsewhere")
        if re.search(r"\{\s*\w+[^{}]*\}", path):
            raise ProjectError(f"{PARAMS_YAML}: {path}: a word in braces is a wildcard of Snakemake's; rename the file")
        if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
            raise ProjectError(f"{PARAMS_YAML}: {path}: neither a file nor a folder; stage {name} cannot depend on it")
    return found


def _concrete(
    name: str, template: Mapping[str, Any], params: Mapping[str, Any], named: tuple[str, ...]
) -> Iterator[Stage]:
    if unknown := set(template) - _KNOWN_KEYS:
        raise ProjectError(f"{DVC_YAML}: stage {name}: {', '.join(sorted(unknown))} is not supported by the bridge")
    axes = _matrix(name, template, params)
    only = _only(name, template, params)
    listed = {key: list(_paths(name, template.get(key, []))) for key in ("deps", "params", "outs")}
    # Most paths are the same for every item, and are resolved once.
    shared: dict[str, str] = {}
    called: dict[tuple[str, ...], list[str]] = {}
    for values in itertools.product(*axes.values()):
        context = {**params, "item": {axis: value.content for axis, value in zip(axes, values, strict=True)}}

        def path(entry: str, context: Mapping[str, Any] = context) -> str:
            found = _posix(_resolve(entry, context, f"stage {name}"))
            if not _ITEM.search(entry):
                shared[entry] = found
            return found

        found = {key: tuple(shared[e] if e in shared else path(e) for e in es) for key, es in listed.items()}
        if found["params"] not in called:
            called[found["params"]] = named_code(params, found["params"])
        yield Stage(
            name=name,
            addr=f"{name}@{'-'.join(value.name for value in values)}" if values else name,
            entry=f"{name}@{'-'.join(value.entry for value in values)}" if values else name,
            cmd=_resolve(template["cmd"], context, f"stage {name}"),
            deps=tuple(dict.fromkeys((*found["deps"], *named, *called[found["params"]]))),
            params=found["params"],
            outs=found["outs"],
            named=named,
            item={axis: value.name for axis, value in zip(axes, values, strict=True)},
            only=only,
        )


def _only(name: str, template: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Of each axis that `meta: {only: ...}` names, the values of its list in params."""
    found = {}
    for axis, dotted in template.get("meta", {}).get("only", {}).items():
        values = lookup(params, str(dotted), f"stage {name}")
        if not isinstance(values, list) or not all(map(_is_scalar, values)):
            raise ProjectError(f"{PARAMS_YAML}: {dotted} must be a list of names or numbers for stage {name}")
        found[axis] = tuple(map(text, values))
    return found


def named_code(params: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Code that the named params call by its path, `package.module:function`: its package below src/, or its module.

    It is in the key of the stages that have such a value among their params, and of no other.
    """
    found: set[str] = set()
    for name in names:
        with contextlib.suppress(ProjectError):  # a missing param is reported by whoever reads its value
            for value in _texts(lookup(params, name, name)):
                top = f"{CODE_ROOT}{value.partition(':')[0].partition('.')[0]}"
                if NAMED_CODE.fullmatch(value):
                    found |= {path for path in (top, f"{top}.py") if Path(path).exists()}
    return sorted(found)


def _texts(node: Any) -> Iterator[str]:
    """Every text in a tree of params."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, (list, Mapping)):
        for one in node.values() if isinstance(node, Mapping) else node:
            yield from _texts(one)


def load_pipeline(dvc_yaml: Path = DVC_YAML, params_yaml: Path = PARAMS_YAML) -> Pipeline:
    """Read and resolve both files.  A ProjectError says in one line what is wrong in them.

    The files are read each time; where all their bytes are as they were, so is what was made of them.
    """
    settings = load_settings()
    read = (os.getcwd(), settings, *(_bytes(path) for path in (dvc_yaml, params_yaml)))
    if _last.get("read") != read:
        params = load_yaml(params_yaml)
        _last.update(pipeline=_resolved(load_yaml(dvc_yaml), params, settings), read=read)
    return _last["pipeline"]


_last: dict[str, Any] = {}


def _bytes(path: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def _resolved(document: Mapping[str, Any], params: Mapping[str, Any], settings: Settings) -> Pipeline:
    templates = document.get("stages", {})
    stages: dict[str, Stage] = {}
    made: dict[str, str] = {}
    for name, template in templates.items():
        for stage in _concrete(name, template, params, _named(name, params, settings)):
            if stage.addr in stages:
                raise ProjectError(f"{DVC_YAML}: two stages are called {stage.addr}; rename a value of its matrix")
            for out in stage.outs:
                if out in made:
                    raise ProjectError(f"{DVC_YAML}: {out} is made by both {made[out]} and {stage.addr}")
                made[out] = stage.addr
            stages[stage.addr] = stage
    return Pipeline(templates=templates, params=params, stages=stages)
