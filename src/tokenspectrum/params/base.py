"""What every params model shares, and how a stage reads its sections.

Models are frozen and typed, and refuse keys that they do not know.  Knows no section by name: a stage calls
`read_sections(train=TrainParams, reward=RewardParams)`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tokenspectrum.errors import UserError
from tokenspectrum.params.problems import found, line
from tokenspectrum.params.yaml_file import Path_, Place, read_yaml

M = TypeVar("M", bound=BaseModel)

PARAMS_ENV = "TOKENSPECTRUM_PARAMS"

# A mark of a field, by Annotated: a params.yaml that is written whole leaves the field out while it has its default.
# A field that is added later wears it, so that the keys of what was made before stay equal.
LEFT_OUT = "left out at its default"


class Frozen(BaseModel):
    """Base of all params models: immutable, strict about types, refuses unknown keys, checks its own defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)


def params_path() -> Path:
    """The params file of this process: the runner's frozen copy when it set one, else params.yaml here."""
    return Path(os.environ.get(PARAMS_ENV, "params.yaml"))


def validate(model: type[M], data: Any) -> M:
    """`data` as a model.  Goes through JSON: types are strict, and yet a YAML list may fill a tuple."""
    return model.model_validate_json(json.dumps(data, default=str))


def parse_section(
    path: Path, data: Mapping[str, Any], name: str, model: type[M], places: Mapping[Path_, Place] | None = None
) -> M:
    """Validate `data[name]` (dots descend) against `model`; an error starts with the file and the dotted field."""
    node: Any = data
    at = tuple(name.split("."))
    for key in at:
        if not isinstance(node, Mapping) or key not in node:
            raise UserError(f"{path}: {name}: missing section; `spectrum preset tiny` shows a complete file")
        node = node[key]
    try:
        return validate(model, node)
    except ValidationError as e:
        lines = [line(str(path), places or {}, (*at, *under), text) for under, text in found(e, model, node)]
        more = f" (and {len(lines) - 1} more; `spectrum plan` lists them)" if len(lines) > 1 else ""
        raise UserError(lines[0] + more) from None


def read_sections(**models: type[BaseModel]) -> tuple[Any, ...]:
    """The named sections of this process's params file, validated, in the order they were asked for."""
    path = params_path()
    document = read_yaml(path)
    return tuple(parse_section(path, document.data, name, model, document.places) for name, model in models.items())
