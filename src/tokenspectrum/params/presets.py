"""Presets: each file of presets/ says how it differs from the one that it extends.

A preset that is chosen is made whole: what it inherits and the models' defaults are written out.  Knows files and
mappings, and no section by name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.problems import close
from tokenspectrum.params.root import Params, parse_params
from tokenspectrum.params.whole import whole
from tokenspectrum.params.yaml_checked import Path_, Place, read_yaml
from tokenspectrum.params.yaml_file import read_text

FOLDER = Path("presets")


@dataclass(frozen=True)
class Preset:
    """A preset made whole: its data, its params, where each value was written, and what its file says on top."""

    name: str
    data: dict[str, Any]
    params: Params
    places: dict[Path_, Place]
    about: str


def names(folder: Path = FOLDER) -> list[str]:
    """Names of the presets at hand, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def about(file: Path) -> str:
    """The comment that a preset's file begins with."""
    lines = read_text(file).splitlines()
    end = next((i for i, text in enumerate(lines) if not text.startswith("#")), len(lines))
    return "\n".join(text.removeprefix("#").removeprefix(" ") for text in lines[:end])


def merge(base: Any, over: Any) -> Any:
    """`base` with `over` put on it: mappings key by key, anything else replaced whole.

    A mapping that names another `kind` than its base's begins afresh: the options of one kind are not those of another.
    """
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    if "kind" in over and over["kind"] != base.get("kind"):
        return over
    return dict(base) | {key: merge(base[key], value) if key in base else value for key, value in over.items()}


def _kept(places: Mapping[Path_, Place], base: Any, over: Any, at: Path_ = ()) -> dict[Path_, Place]:
    """The base's places of what `merge` keeps of it."""
    if at and merge(base, over) is over:
        return {}
    kept = {path: place for path, place in places.items() if path[: len(at)] == at and len(path) == len(at) + 1}
    kept = {path: place for path, place in kept.items() if path[-1] not in over}
    for path in list(kept):
        kept |= {deeper: place for deeper, place in places.items() if deeper[: len(path)] == path}
    for key, value in over.items():
        if key in base:
            kept |= _kept(places, base[key], value, (*at, key))
    return kept


def _drop(file: Path, name: object, data: dict[str, Any], places: dict[Path_, Place]) -> None:
    path = tuple(str(name).split("."))
    node: Any = data
    for key in path:
        if not isinstance(node, dict) or key not in node:
            near = close(key, node) if isinstance(node, dict) else ""
            raise UserError(f"{file}: drop: {name} is not in the preset that this one extends{near}")
        parent, node = node, node[key]
    del parent[path[-1]]
    for known in [p for p in places if p[: len(path)] == path]:
        del places[known]


def _copy(data: Any) -> Any:
    return {key: _copy(value) for key, value in data.items()} if isinstance(data, dict) else data


def _chain(name: str, folder: Path, below: tuple[str, ...]) -> tuple[dict[str, Any], dict[Path_, Place]]:
    """The data of preset `name` with all that it inherits, and the places of both."""
    file = folder / f"{name}.yaml"
    if name in below:
        raise UserError(f"{file}: extends: {' -> '.join((*below, name))} is a circle")
    # Looked up among the files that there are: a name may be a path, or longer than a path may be.
    if name not in names(folder) or not re.fullmatch(r"[a-z0-9][a-z0-9_.\-]*", name) or not file.is_file():
        at = f"{folder / below[-1]}.yaml: extends: " if below else ""
        raise UserError(f"{at}preset {name!r}: no such preset{close(name, names(folder))}; there are {_list(folder)}")
    document = read_yaml(file)
    own, places = dict(document.data), dict(document.places)
    base, dropped = own.pop("extends", None), own.pop("drop", [])
    own.setdefault("preset", name)
    if own["preset"] != name:
        raise UserError(f"{file}: preset: {own['preset']}, but the file is called {name}; make them the same")
    if base is None:
        if dropped:
            raise UserError(f"{file}: drop: there is no `extends` to drop anything of")
        return own, places
    if not isinstance(base, str) or not isinstance(dropped, list):
        raise UserError(f"{file}: extends is the name of one preset, and drop a list of names such as rules.anchor20")
    inherited, theirs = _chain(base, folder, (*below, name))
    inherited = _copy(inherited)
    for one in dropped:
        _drop(file, one, inherited, theirs)
    return merge(inherited, own), _kept(theirs, inherited, own) | places


def _list(folder: Path) -> str:
    return ", ".join(names(folder))


def read_preset(name: str, folder: Path = FOLDER, changes: Mapping[str, Any] | None = None) -> Preset:
    """Preset `name`, made whole and checked.  `changes`: dotted field -> value, put on it last."""
    data, places = _chain(name, folder, ())
    data = _copy(data)
    for field, value in (changes or {}).items():
        node = data
        *parents, last = field.split(".")
        for key in parents:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise UserError(f"--set {field}: {key} holds no fields")
        node[last] = value
        places = {p: place for p, place in places.items() if p[: len(parents) + 1] != (*parents, last)}
        places[(*parents, last)] = Place("--set", 1)
    file = folder / f"{name}.yaml"
    params = parse_params(data, str(file), places)
    return Preset(name, whole(data, params), params, places, about(file))
