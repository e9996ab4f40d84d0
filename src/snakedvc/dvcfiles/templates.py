"""The part of DVC's language that the bridge understands.

That is `${...}` with params and `item`, and `matrix` over lists of scalars, or of mappings of scalars.  Anything else
is a ProjectError and no guess.

A mapping is called by the value that stands in the outputs: where `replicate` has the item `{seed: 3, base: 1}` and an
output is `log-s${item.replicate.seed}`, the stage is `train@full-3`.  DVC calls it by its place in the list,
`train@full-replicate2`, and so does dvc.lock.

Knows templates and params.  Knows nothing of stages, nor of files.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from snakedvc.dvcfiles.record import PARAMS_NAME
from snakedvc.errors import ProjectError

DVC_YAML = Path("dvc.yaml")
PARAMS_YAML = Path(PARAMS_NAME)
VARIABLE = re.compile(r"\$\{\s*([^}]+?)\s*\}")
ITEM = re.compile(r"\$\{\s*item\.")


@dataclass(frozen=True)
class Value:
    """One value of a matrix axis: what it is called here and by DVC, and what `${item.<axis>}` stands for."""

    name: str
    entry: str
    content: str | Mapping[str, str]
    key: str | None = None  # of a mapping: the key whose value is `name`


Axes = dict[str, list[Value]]


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


def resolve(template: str, context: Mapping[str, Any], reader: str) -> str:
    """`template` with each `${...}` as its value in `context`.  What is no single value is a ProjectError."""

    def one(match: re.Match[str]) -> str:
        value = lookup(context, match.group(1), reader)
        if isinstance(value, (dict, list)) or value is None:
            raise ProjectError(f"{DVC_YAML}: {reader}: ${{{match.group(1)}}} is not a single value")
        return text(value)

    return VARIABLE.sub(one, template) if "${" in template else template


def posix(path: str) -> str:
    """`path` as pathlib writes it.  Most paths are so already, and pathlib takes its time."""
    is_plain = path and not path.startswith(("/", "./")) and not path.endswith("/") and "//" not in path
    return path if is_plain and "/./" not in f"{path}/" and path != "." else PurePosixPath(path).as_posix()


def in_place(value: Value, name: str) -> str | dict[str, str]:
    """`name` where the value's own name would stand."""
    return {value.key: name} if value.key else name


def matrix(name: str, template: Mapping[str, Any], params: Mapping[str, Any]) -> Axes:
    """The values of each axis of a stage's matrix.  An empty list and a value that stands twice are a ProjectError."""
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
    if is_scalar(value):
        return Value(text(value), text(value), text(value))
    if isinstance(value, Mapping) and key in value and all(map(is_scalar, value.values())):
        content = {key: text(one) for key, one in value.items()}
        return Value(content[key], f"{axis}{i}", content, key)
    raise ProjectError(
        f"{where}: {value!r:.60}: must be a name or a number, or one of mappings of them of which one value stands in "
        "the outs"
    )


def is_scalar(value: Any) -> bool:
    """Whether `value` can stand in a path or a command."""
    return isinstance(value, (str, int, float))


def paths(name: str, entries: list[Any]) -> Iterator[str]:
    """The entries of deps, params or outs of stage `name`, which must be plain texts."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            # persist: true would turn the run cache off.  With cache: false the bytes would be stored nowhere.
            raise ProjectError(f"{DVC_YAML}: stage {name}: {entry!r}: only plain, cached paths are supported here")
