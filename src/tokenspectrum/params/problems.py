"""What is wrong with params, in lines: the field, what it must be, what stands there, and what was perhaps meant.

Knows pydantic's errors and models, and no section by name.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError

from tokenspectrum.params.yaml_checked import Path_, Place

MOST_SHOWN = 80  # characters of a value in a line
Models = tuple[type[BaseModel], ...]
_PLAIN = {
    "Input should be": "must be",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid dictionary or object to extract fields from": "a mapping",
    "a valid dictionary": "a mapping",
    "an object": "a mapping",
    "a valid array": "a list",
    "Field required": "missing, and it has no default",
    "Value error, ": "",
}


def close(word: object, choices: Iterable[str]) -> str:
    """`; did you mean X?` where a choice is spelt like `word`, else nothing."""
    near = difflib.get_close_matches(str(word), list(choices), n=1, cutoff=0.55)
    return f"; did you mean {near[0]}?" if near else ""


def models_in(annotation: Any) -> Models:
    """The models that a value of this annotation, or a member of it, may be."""
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        return models_in(annotation.model_fields["root"].annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    return tuple(m for part in get_args(annotation) for m in models_in(part))


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()


def _of_any_kind(models: Models, kind: Any) -> Models:
    """The models whose kind is a text of a certain form, where `kind` has that form."""
    found = [(m, m.model_fields.get("kind")) for m in models]
    return tuple(m for m, field in found if field and any(_has_form(kind, one) for one in field.metadata))


def _has_form(text: Any, constraint: Any) -> bool:
    pattern = getattr(constraint, "pattern", None)
    return isinstance(text, str) and isinstance(pattern, str) and re.match(pattern, text) is not None


def _member(node: Any, key: str | int) -> Any:
    try:
        return node[key]
    except (KeyError, IndexError, TypeError):
        return None


def models_at(model: type[BaseModel], data: Any, path: Path_) -> Models:
    """The models that may stand at `path` of `data`, which is validated against `model`; `kind` chooses among them."""
    found, node = models_in(model), data
    for key in (*path, None):
        kind = node.get("kind") if isinstance(node, Mapping) else None
        found = tuple(m for m in found if kind in _kinds(m)) or _of_any_kind(found, kind) or found
        if key is None:
            return found
        fields = [m.model_fields[key] for m in found if isinstance(key, str) and key in m.model_fields]
        # A name that is no field is a member's: of a list, or of a mapping by name such as `rules`.
        found = tuple(m for f in fields for m in models_in(f.annotation)) if fields else found
        node = _member(node, key)
    return found


def path_of(loc: Path_, data: Any, kind: str) -> Path_:
    """An error's path in the data: pydantic's own, without the names of union members."""
    path: list[str | int] = []
    node = data
    for i, part in enumerate(loc):
        if isinstance(node, Mapping):
            if part not in node:
                if kind == "missing" and i == len(loc) - 1:
                    path.append(part)
                continue
        elif not (isinstance(node, list) and isinstance(part, int) and part < len(node)):
            continue
        path.append(part)
        node = node[part]
    return tuple(path)


def _choices(error: Mapping[str, Any]) -> list[str]:
    context = error.get("ctx", {})
    text = context.get("expected_tags") or context.get("expected") or ""
    return [part.strip(" '") for part in text.replace(" or ", ",").split(",") if part.strip(" '")]


def _got(value: Any) -> str:
    """A value as it stands in the file, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


# What a text of a certain form is, in words.
_FORMS = {
    r"^[a-z0-9][a-z0-9_]*$": "a name of lower-case letters, digits and _, which begins with a letter or a digit",
    r"^[a-z0-9][a-z0-9_.\-]*$": "a name of lower-case letters, digits, _, . and -, which begins with a letter or digit",
    r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$": "a name of letters, digits, _, . and -, which begins with a letter or a digit",
    r"^[0-9a-f]{40}$": "a whole commit hash: 40 hexadecimal digits",
    r"^[0-9a-f]{64}$": "a sha256: 64 hexadecimal digits",
}


def _said(errors: list[Any], model: type[BaseModel], data: Any, path: Path_) -> str:
    """What is wrong at one path.  Several errors are members of a union, none of which fits."""
    first = errors[0]
    if first["type"] == "extra_forbidden":
        names = sorted({name for m in models_at(model, data, path[:-1]) for name in m.model_fields})
        return "unknown key" + (close(path[-1], names) or f"; there are {', '.join(names)}")
    if first["type"] == "union_tag_invalid":
        tags = _choices(first)
        tag = first["ctx"]["tag"]
        return f"kind: must be {', '.join(tags[:-1])} or {tags[-1]} (got {_got(tag)}){close(tag, tags)}"
    if first["type"] == "too_short":
        held = "is empty; it" if first["ctx"]["actual_length"] == 0 else f"holds {first['ctx']['actual_length']}; it"
        least = first["ctx"]["min_length"]
        return f"{held} must hold at least {least} {'entry' if least == 1 else 'entries'}"
    if first["type"] == "union_tag_not_found":
        return "kind: missing; it says which options there are"
    wanted, choices = [], []
    for error in errors:
        text = error["msg"]
        if error["type"] == "string_pattern_mismatch" and (form := _FORMS.get(error["ctx"]["pattern"])):
            text = f"must be {form}"
        for old, new in _PLAIN.items():
            text = text.replace(old, new)
        wanted.append(text if not wanted else text.removeprefix("must be "))
        choices += _choices(error)
    got = first["input"]
    # What a check of several fields found says it all; the whole section as "got" would bury it.
    shown = "" if isinstance(got, (dict, list)) else f" (got {_got(got)})"
    text = f"{', or '.join(dict.fromkeys(wanted))}{shown}"
    if isinstance(got, str) and first["type"] in ("int_type", "float_type", "bool_type") and not choices:
        return f"{text}; without quotes" if got.strip("+-.0123456789eE") == "" or got in ("true", "false") else text
    return text + (close(got, choices) if isinstance(got, str) else "")


def found(error: ValidationError, model: type[BaseModel], data: Any) -> Iterator[tuple[Path_, str]]:
    """Path and text of every problem that validating `data` against `model` met, one a path."""
    by_path: dict[Path_, list[Any]] = {}
    for one in error.errors():
        by_path.setdefault(path_of(one["loc"], data, one["type"]), []).append(one)
    for path, errors in by_path.items():
        # A list is also too short, or none of the other things it might be, where members of it are wrong: those are
        # what is to be mended.
        below = any(other[: len(path)] == path and len(other) > len(path) for other in by_path)
        if not (below and all(one["type"] == "too_short" or isinstance(one["input"], list) for one in errors)):
            yield path, _said(errors, model, data, path)


def line(where: str, places: Mapping[Path_, Place], path: Path_, text: str) -> str:
    """`FILE line N: field: text`; the line is that of the nearest value that has a place."""
    known = next((places[path[:n]] for n in range(len(path), 0, -1) if path[:n] in places), None)
    start = f"{known.file} line {known.line}" if known else where
    return ": ".join(filter(None, [start, ".".join(map(str, path)), text]))
