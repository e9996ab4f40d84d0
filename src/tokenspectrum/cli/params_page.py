"""The reference part of docs/params.md: every field with its type, default, meaning and the stages that it is in."""

import json
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tokenspectrum.params.base import LEFT_OUT
from tokenspectrum.params.problems import models_in
from tokenspectrum.params.root import Params

PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null"}
LIMITS = (("ge", "≥ {}"), ("gt", "> {}"), ("le", "≤ {}"), ("lt", "< {}"))


def kind_of(annotation: Any, metadata: list[Any] | None = None) -> str:
    """A type in plain words, with its limits."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(args[0], list(args[1:]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    if origin is Literal:
        text = ", ".join(f"`{value}`" for value in args)
    elif origin in (Union, types.UnionType):
        text = " or ".join(dict.fromkeys(map(kind_of, args)))
    elif origin is tuple:
        text = f"list of: {kind_of(args[0])}"
    elif origin is dict:
        text = f"mapping by name of: {kind_of(args[1])}"
    else:
        text = PLAIN.get(annotation, "any value")
    limits = [
        form.format(getattr(one, name))
        for part in metadata or []
        for one in [part, *getattr(part, "metadata", [])]
        for name, form in LIMITS
        if getattr(one, name, None) is not None
    ]
    return f"{text} {', '.join(limits)}".strip()


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    """What a model's `kind` may be; of a text that may be many, the examples."""
    field = model.model_fields.get("kind")
    return () if field is None else get_args(field.annotation) or tuple(map(str, field.examples or ()))


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, BaseModel):
        return ""
    left_out = ", left out" if LEFT_OUT in field.metadata else ""
    return f"`{json.dumps(field.default)}`{left_out}"


def stages_of(dotted: str, listed: Mapping[str, list[str]]) -> list[str]:
    """The stages of dvc.yaml that name this field, a section that it is in, or a field below it."""
    return [
        stage
        for stage, params in listed.items()
        if any(dotted == p or dotted.startswith(f"{p}.") or p.startswith(f"{dotted}.") for p in params)
    ]


def _rows(model: type[BaseModel], at: str, listed: Mapping[str, list[str]]) -> Iterator[str]:
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] != "kind"):
        about = " ".join((field.description or "").split()).replace("|", "\\|")
        text = kind_of(field.annotation, field.metadata).replace("|", "\\|")
        # Rules are in the weights stage, each under its own name.
        stages = ", ".join(stages_of(f"{at}.{name}", listed)) or "-"
        yield f"| `{name}` | {text} | {_default(field)} | {about} | {stages} |"


def _sections(
    model: type[BaseModel], at: str, shown: str, listed: Mapping[str, list[str]], seen: set[type]
) -> Iterator[str]:
    if model in seen:  # a dataset is a dataset, for training and for a benchmark
        return
    seen.add(model)
    about = " ".join((model.__doc__ or "").split("\n\n")[0].split())
    yield f"### {shown}\n\n{about}\n"
    yield "| field | type | default | meaning | stages |\n|---|---|---|---|---|"
    yield from _rows(model, at, listed)
    yield ""
    for name, field in model.model_fields.items():
        for below in models_in(field.annotation):
            if below is not model:
                kinds = _kinds(below)
                label = f"`{shown.split('`')[1]}.{name}`" + (f", kind {' or '.join(kinds)}" if kinds else "")
                yield from _sections(below, f"{at}.{name}", label, listed, seen)


def reference(templates: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown of every section; `templates`: dvc.yaml's stages."""
    listed = {name: [p.split(".${")[0] for p in template.get("params", [])] for name, template in templates.items()}
    lines = ["| field | type | meaning | stages |", "|---|---|---|---|"]
    below: list[str] = []
    seen: set[type] = set()
    for name, field in Params.model_fields.items():
        found = models_in(field.annotation)
        if name == "rules" or not found:
            stages = ", ".join(stages_of(name, listed)) or "in the paths of all outputs"
            about = field.description or ""
            lines.append(f"| `{name}` | {kind_of(field.annotation, field.metadata)} | {about} | {stages} |")
        for model in found:
            kinds = _kinds(model)
            label = f"`{name}`" + (f", kind {' or '.join(kinds)}" if kinds else "")
            below += _sections(model, name, label, listed, seen)
    return "\n".join([*lines, "", *below]).rstrip() + "\n"
