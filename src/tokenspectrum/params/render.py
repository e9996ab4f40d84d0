"""A preset as the text of a whole params.yaml: every value, with the fields' descriptions as comments.

Knows how YAML looks and nothing of what the values mean.
"""

import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, RootModel

from tokenspectrum.params.presets import Preset
from tokenspectrum.params.yaml_checked import Path_, is_text

WIDTH = 120


def scalar(value: Any) -> str:
    """A plain value as every reader of YAML takes it; text in quotes where it would be taken for something else."""
    if isinstance(value, float):
        text = repr(value)
        return re.sub(r"^(-?\d+)e", r"\1.0e", text)  # 1e-06 is text to readers of YAML 1.1
    if not isinstance(value, str):
        return json.dumps(value)
    if re.fullmatch(r"[A-Za-z_./](?:[\w./%+-]| (?! |$))*", value) and is_text(value):
        return value
    escaped = json.dumps(value, ensure_ascii=False)[1:-1]
    escaped = "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped)
    return f'"{escaped}"'


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def _comment(indent: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


class _Writer:
    def __init__(self, preset: Preset) -> None:
        self.places, self.described = preset.places, set()

    def about(self, at: Path_, description: str | None) -> str:
        """A field's description, said once in the file, and what its preset says of the value."""
        said = [] if description is None or description in self.described else [description]
        self.described.add(description)
        own = self.places[at].comment if at in self.places else ""
        return " ".join([*said, *([f"[{own}]"] if own and said else [own] if own else [])])

    def entry(self, indent: str, key: str, at: Path_, data: Any, value: Any, description: str | None) -> Iterator[str]:
        """The lines of `key: data`, where `value` is what the models made of it."""
        value = value.root if isinstance(value, RootModel) else value
        about = self.about(at, description)
        head = f"{indent}{scalar(key)}:"
        one = f"{head} {flow(data)}"
        # A text is one line, however long: a chat template.
        if isinstance(data, str) or (self.is_short(at, data, value) and len(one) <= WIDTH):
            if about and len(f"{one}  # {about}") > WIDTH:
                yield from _comment(indent, about)
                about = ""
            yield f"{one}  # {about}" if about else one
            return
        if about:
            yield from _comment(indent, about)
        yield head
        yield from self.below(indent + "  ", at, data, value)

    def is_short(self, at: Path_, data: Any, value: Any) -> bool:
        """Whether the value fits on one line without losing a comment."""
        if isinstance(value, BaseModel):
            fields = type(value).model_fields
            return all(
                (fields[k].description in self.described or not fields[k].description)
                and self.is_short((*at, k), data[k], getattr(value, k))
                for k in data
            ) and not any(self.places[p].comment for p in self.places if len(p) > len(at) and p[: len(at)] == at)
        if isinstance(data, list):
            return not any(isinstance(one, (dict, list)) for one in data)
        return (
            not isinstance(data, dict) or not data or (len(at) > 2 and not isinstance(next(iter(data.values())), dict))
        )

    def below(self, indent: str, at: Path_, data: Any, value: Any) -> Iterator[str]:
        """The lines of a mapping's or a list's members."""
        if isinstance(data, dict):
            fields = type(value).model_fields if isinstance(value, BaseModel) else {}
            for key, one in data.items():
                of = getattr(value, key) if fields else value[key] if isinstance(value, dict) else None
                about = fields[key].description if key in fields else None
                yield from self.entry(indent, key, (*at, key), one, of, about)
            return
        for i, one in enumerate(data):
            of = value[i] if isinstance(value, tuple) else None
            if about := self.about((*at, i), None):
                yield from _comment(indent, about)
            if not isinstance(one, (dict, list)) or (self.is_short((*at, i), one, of) and len(flow(one)) < 100):
                yield f"{indent}- {flow(one)}"
                continue
            lines = list(self.below(indent + "  ", (*at, i), one, of))
            # The dash goes before the first key; comments may stand before it.
            first = next(n for n, text in enumerate(lines) if not text.lstrip().startswith("#"))
            lines[first] = f"{indent}- {lines[first].removeprefix(indent + '  ')}"
            yield from (text.removeprefix("  ") if n < first else text for n, text in enumerate(lines))


def render(preset: Preset, note: str) -> str:
    """The text of params.yaml: what the preset says of itself, `note`, then every section with its purpose."""
    writer = _Writer(preset)
    lines = [f"# {text}".rstrip() for text in (*preset.about.splitlines(), "", *note.splitlines())]
    for section, field in type(preset.params).model_fields.items():
        value = getattr(preset.params, section)
        inner = value.root if isinstance(value, RootModel) else value
        lines.append("")
        description = field.description
        if isinstance(inner, BaseModel):
            description = " ".join((type(inner).__doc__ or "").split("\n\n")[0].split())
        lines += writer.entry("", section, (section,), preset.data[section], value, description)
    return "\n".join(lines) + "\n"
