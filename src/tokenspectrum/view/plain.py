"""Answers as JSON.  It has no NaN and no infinity: these travel as text, which the page shows.  Knows no tables."""

import json
import math
from typing import Any


def to_json(value: Any) -> str:
    """JSON in which a number that is not finite is "NaN", "Infinity" or "-Infinity"."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_plain(value), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
