"""Every rule by its kind, found in the folder rules/; and a rule read back from rule.json.

A rule's file declares a subclass of Rule with a literal `kind`.  Files whose name starts with _ are helpers of rules.
Knows no rule by name.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from pkgutil import iter_modules, resolve_name
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import one_line
from tokenspectrum.weighting import rules
from tokenspectrum.weighting.rule import Rule
from tokenspectrum.weighting.rules._python import PythonRule

AGAIN = "run its weights stage again"


def kinds_of(model: type[Rule]) -> tuple[str, ...]:
    """The names that a rule's `kind` may have; none for a base class of rules."""
    annotation = model.model_fields["kind"].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def rules_in(module: ModuleType) -> Iterator[tuple[str, type[Rule]]]:
    """(kind, model) of every rule that `module` itself declares, in the file's order."""
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Rule) and value.__module__ == module.__name__:
            for kind in kinds_of(value):
                yield kind, value


def _found() -> dict[str, type[Rule]]:
    found: dict[str, type[Rule]] = {}
    for name in sorted(info.name for info in iter_modules(rules.__path__) if not info.name.startswith("_")):
        for kind, model in rules_in(resolve_name(f"{rules.__name__}.{name}")):
            if kind in found:
                raise ValueError(
                    f"rule kind {kind!r} is declared twice: {found[kind].__module__} and {model.__module__}"
                )
            found[kind] = model
    return found


RULES = _found()


def model_of(kind: object) -> type[Rule] | None:
    """The model of rules of this kind; that of a path for `module:function`; None for an unknown kind."""
    return PythonRule if is_path(kind) else RULES.get(str(kind))


def is_path(kind: object) -> bool:
    """Whether `kind` is meant as the path of a function."""
    return isinstance(kind, str) and ":" in kind


def rule_of(record: Mapping[str, Any], where: str = "rule") -> Rule:
    """The resolved rule in `record`, the content of a rule.json.  A UserError begins with `where`."""
    kind = record.get("kind")
    model = model_of(kind)
    if model is None:
        raise UserError(f"{where}: rule kind {kind!r}: unknown; known are {', '.join(sorted(RULES))}")
    try:
        rule = model.model_validate_json(json.dumps(model.options(record)))
    except ValidationError as e:
        raise UserError(f"{where}: {one_line(e, '')}; {AGAIN}") from None
    made = rule.record()
    for name in sorted(made.keys() | record.keys()):
        if name not in record:
            raise UserError(f"{where}: no key {name!r}; {AGAIN}")
        if made.get(name) != json.loads(json.dumps(record[name])):
            raise UserError(f"{where}: {name} is {record[name]!r}, not {made.get(name)!r}; {AGAIN}")
    for name in ("layer", "tau"):
        if isinstance(made.get(name), str):
            raise UserError(f"{where}: {name} is {made[name]!r}, which is not resolved; {AGAIN}")
    return rule


def make_rule(**record: Any) -> Rule:
    """The rule of these keywords; those that are None are left out.

    Example: `make_rule(kind="front", p=0.2, denominator="selected")`.
    """
    return rule_of({name: value for name, value in record.items() if value is not None})


def rule_from_json(text: str, where: str = "rule") -> Rule:
    """The inverse of `Rule.to_json`; anything else in the text is a UserError that begins with `where`."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as e:
        raise UserError(f"{where} line {e.lineno}: not valid JSON: {e.msg}; {AGAIN}") from None
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected an object; {AGAIN}")
    return rule_of(data, where)


def read_rule(path: Path) -> Rule:
    """The rule in a rule.json; a missing or damaged file is a UserError that names it."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run its weights stage") from None
    return rule_from_json(text, str(path))
