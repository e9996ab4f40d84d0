"""What every params model shares (frozen, typed, no unknown keys), and reading sections with one-line errors.

Knows no section by name.  A stage calls `read_sections(train=TrainParams, reward=RewardParams)`.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tokenspectrum.errors import UserError

M = TypeVar("M", bound=BaseModel)
_Base: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """PyYAML reads 1e-3 as text (YAML 1.1); DVC reads it as a number (YAML 1.2).  Both must see the same params."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)

PARAMS_ENV = "TOKENSPECTRUM_PARAMS"


class Frozen(BaseModel):
    """Base of all params models: immutable, strict about types, refuses unknown keys, checks its own defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)


def params_path() -> Path:
    """The params file of this process: the runner's frozen copy when it set one, else params.yaml here."""
    return Path(os.environ.get(PARAMS_ENV, "params.yaml"))


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; a missing or malformed file is a UserError that names file and line."""
    try:
        data = yaml.load(path.read_text(), _Loader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; `spectrum preset tiny` writes the default one") from None
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where}: not valid YAML: {getattr(e, 'problem', None) or e}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a mapping of sections at the top, found {type(data).__name__}")
    return data


def one_line(error: ValidationError, prefix: str) -> str:
    """The first problem of a pydantic error as one line `prefix.field: message (got value)`."""
    first = error.errors()[0]
    where = ".".join([prefix, *map(str, first["loc"])]).strip(".")
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key; remove it or check its spelling"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = first["msg"].removeprefix("Value error, ")
    # What a check of several fields found says it all; the whole section as "got" would bury it.
    got = "" if isinstance(first["input"], (dict, list)) else f" (got {first['input']!r})"
    return ": ".join(filter(None, [where, f"{message}{got}{more}"]))


def parse_section(path: Path, data: Mapping[str, Any], name: str, model: type[M]) -> M:
    """Validate `data[name]` (dots descend) against `model`; an error starts with the file and the dotted field."""
    node: Any = data
    for key in name.split("."):
        if not isinstance(node, Mapping) or key not in node:
            raise UserError(f"{path}: {name}: missing section; `spectrum preset tiny` shows a complete file")
        node = node[key]
    try:
        # Through JSON: strict types, and yet a YAML list may fill a tuple.
        return model.model_validate_json(json.dumps(node, default=str))
    except ValidationError as e:
        raise UserError(f"{path}: {one_line(e, name)}") from None


def read_sections(**models: type[BaseModel]) -> tuple[Any, ...]:
    """The named sections of this process's params file, validated, in the order they were asked for."""
    path = params_path()
    data = load_yaml(path)
    return tuple(parse_section(path, data, name, model) for name, model in models.items())
