"""What a params file leaves to the models' defaults, written out.  Knows models, and no section by name."""

from typing import Any

from pydantic import BaseModel, RootModel

from tokenspectrum.params.base import LEFT_OUT
from tokenspectrum.params.yaml_checked import Path_


def whole(data: Any, value: Any) -> Any:
    """`data` with the defaults of the models that it was read into, `value`; what is in it stays as it was written."""
    if isinstance(value, RootModel):
        return whole(data, value.root)
    if isinstance(value, BaseModel):
        given = data if isinstance(data, dict) else {}
        filled = {}
        for name, field in type(value).model_fields.items():
            if name in given or LEFT_OUT not in field.metadata:
                # As the model's author wrote it: 300 is no 300.0.
                plain = name not in given and not isinstance(field.default, (BaseModel, tuple, dict))
                filled[name] = field.default if plain else whole(given.get(name), getattr(value, name))
        return dict(sorted(filled.items(), key=lambda item: item[0] != "kind"))
    if isinstance(value, dict):
        return {key: whole(data.get(key) if isinstance(data, dict) else None, one) for key, one in value.items()}
    if isinstance(value, tuple):
        given = data if isinstance(data, list) else [None] * len(value)
        return [whole(one, of) for one, of in zip(given, value, strict=True)]
    return value if data is None else data


def missing(data: Any, filled: Any, at: Path_ = ()) -> list[tuple[Path_, Any]]:
    """Path and default of what `filled` has and `data` has not."""
    found = []
    if isinstance(filled, dict):
        for key, value in filled.items():
            given = isinstance(data, dict) and key in data
            found += missing(data[key], value, (*at, key)) if given else [((*at, key), value)]
    elif isinstance(filled, list) and isinstance(data, list):
        for i, (one, of) in enumerate(zip(data, filled, strict=False)):
            found += missing(one, of, (*at, i))
    return found
