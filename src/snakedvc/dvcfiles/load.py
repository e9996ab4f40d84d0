"""Read dvc.yaml and params.yaml, and resolve them to a pipeline of concrete stages.

Beside the deps that are written there, a stage has the files that its params name (settings.py), and the code that they
name by a path (named.py).

Knows the two files and what lies beside them.  Knows nothing of Snakemake, of caches or of what a stage does.
"""

import contextlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from snakedvc.dvcfiles.named import listed_code, named_code
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.record import CODE_ROOT
from snakedvc.dvcfiles.templates import (
    DVC_YAML,
    ITEM,
    PARAMS_YAML,
    is_scalar,
    lookup,
    matrix,
    paths,
    posix,
    resolve,
    text,
)
from snakedvc.errors import ProjectError
from snakedvc.settings import Settings, load_settings
from snakedvc.yamlfile import load_yaml

_KNOWN_KEYS = {"desc", "matrix", "cmd", "deps", "params", "outs", "meta"}


def load_pipeline(dvc_yaml: Path = DVC_YAML, params_yaml: Path = PARAMS_YAML) -> Pipeline:
    """Read and resolve both files.  A ProjectError says in one line what is wrong in them.

    The files are read each time.  Where all that the last pipeline was made of is as it was, it is that pipeline.
    """
    settings = load_settings()
    read = (os.getcwd(), settings, *(_bytes(path) for path in (dvc_yaml, params_yaml)))
    last = _last.get("loaded")
    if last is None or last.read != read or not last.stands(settings):
        last = _last["loaded"] = _load(dvc_yaml, params_yaml, settings, read)
    return last.pipeline


@dataclass(frozen=True)
class _Loaded:
    """A pipeline and what it was made of: the bytes read, the files that params name, and the code that they name."""

    pipeline: Pipeline
    read: tuple[Any, ...]
    named: Mapping[str, tuple[str, ...]]  # by the name of the stage
    code: Mapping[tuple[frozenset[str], tuple[str, ...]], list[str]]  # by what it lists, and the names of its params

    def stands(self, settings: Settings) -> bool:
        """Whether params name the same files and the same code still.  That depends on what lies in the folders."""
        params = self.pipeline.params
        return all(_named(name, params, settings) == files for name, files in self.named.items()) and all(
            named_code(params, names, listed) == code for (listed, names), code in self.code.items()
        )


_last: dict[str, _Loaded] = {}


def _bytes(path: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def _load(dvc_yaml: Path, params_yaml: Path, settings: Settings, read: tuple[Any, ...]) -> _Loaded:
    params = load_yaml(params_yaml)
    templates = load_yaml(dvc_yaml).get("stages", {})
    named = {name: _named(name, params, settings) for name in templates}
    code: dict[tuple[frozenset[str], tuple[str, ...]], list[str]] = {}
    stages: dict[str, Stage] = {}
    made: dict[str, str] = {}
    for name, template in templates.items():
        for stage in _concrete(name, template, params, named[name], code):
            if stage.addr in stages:
                raise ProjectError(f"{DVC_YAML}: two stages are called {stage.addr}; rename a value of its matrix")
            for out in stage.outs:
                if out in made:
                    raise ProjectError(f"{DVC_YAML}: {out} is made by both {made[out]} and {stage.addr}")
                made[out] = stage.addr
            stages[stage.addr] = stage
    return _Loaded(Pipeline(templates=templates, params=params, stages=stages), read, named, code)


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
    name: str,
    template: Mapping[str, Any],
    params: Mapping[str, Any],
    named: tuple[str, ...],
    code: dict[tuple[frozenset[str], tuple[str, ...]], list[str]],
) -> Iterator[Stage]:
    if unknown := set(template) - _KNOWN_KEYS:
        raise ProjectError(f"{DVC_YAML}: stage {name}: {', '.join(sorted(unknown))} is not supported by the bridge")
    axes = matrix(name, template, params)
    only, packages = _only(name, template, params), listed_code(template)
    listed = {key: list(paths(name, template.get(key, []))) for key in ("deps", "params", "outs")}
    # Most paths are the same for every item, and are resolved once.
    shared: dict[str, str] = {}
    for values in itertools.product(*axes.values()):
        context = {**params, "item": {axis: value.content for axis, value in zip(axes, values, strict=True)}}

        def path(entry: str, context: Mapping[str, Any] = context) -> str:
            found = posix(resolve(entry, context, f"stage {name}"))
            if not ITEM.search(entry):
                shared[entry] = found
            return found

        found = {key: tuple(shared[e] if e in shared else path(e) for e in es) for key, es in listed.items()}
        calls = packages, found["params"]
        if calls not in code:
            code[calls] = named_code(params, found["params"], packages)
        yield Stage(
            name=name,
            addr=f"{name}@{'-'.join(value.name for value in values)}" if values else name,
            entry=f"{name}@{'-'.join(value.entry for value in values)}" if values else name,
            cmd=resolve(template["cmd"], context, f"stage {name}"),
            deps=tuple(dict.fromkeys((*found["deps"], *named, *code[calls]))),
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
        if not isinstance(values, list) or not all(map(is_scalar, values)):
            raise ProjectError(f"{PARAMS_YAML}: {dotted} must be a list of names or numbers for stage {name}")
        found[axis] = tuple(map(text, values))
    return found
