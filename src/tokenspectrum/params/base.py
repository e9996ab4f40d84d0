"""What every params model shares, and how a stage reads its sections.

Models are frozen and typed, and refuse keys that they do not know.  Knows no section by name: a stage calls
`read_sections(train=TrainParams, reward=RewardParams)`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from tokenspectrum.errors import UserError
from tokenspectrum.params.yaml_file import load_yaml

M = TypeVar("M", bound=BaseModel)

PARAMS_ENV = "SNAKEDVC_PARAMS"

# A mark of a field, by Annotated: a params.yaml that is written whole leaves the field out while it has its default.
# A field that is added later wears it, so that the keys of what was made before stay equal.
LEFT_OUT = "left out at its default"


LARGEST = 2**31 - 1


class Frozen(BaseModel):
    """Base of all params models: immutable, strict about types, refuses unknown keys, checks its own defaults.

    A whole number is 2^31 - 1 at most: the tables hold no larger ones, and nothing here counts so far.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _countable(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST:
            raise ValueError(f"must be {LARGEST} at most")
        return value


def params_path() -> Path:
    """The params file of this process: the runner's frozen copy when it set one, else params.yaml here."""
    return Path(os.environ.get(PARAMS_ENV, "params.yaml"))


def validate(model: type[M], data: Any) -> M:
    """`data` as a model.  Goes through JSON: types are strict, and yet a YAML list may fill a tuple."""
    return model.model_validate_json(json.dumps(data, default=str))


def one_line(error: ValidationError, prefix: str) -> str:
    """The first problem of a pydantic error as one line `prefix.field: message (got value)`.

    A whole file is checked before anything runs, in better words (problems.py, which is in no stage's key).
    """
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
        return validate(model, node)
    except ValidationError as e:
        raise UserError(f"{path}: {one_line(e, name)}") from None


def read_sections(**models: type[BaseModel]) -> tuple[Any, ...]:
    """The named sections of this process's params file, validated, in the order they were asked for."""
    path = params_path()
    data = load_yaml(path)
    return tuple(parse_section(path, data, name, model) for name, model in models.items())
