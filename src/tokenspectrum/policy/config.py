"""The JSON files of a checkpoint: an object, or one line that says what else it is.  Knows no model and no torch."""

import json
import os
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError


def read_object(file: Path, name: str = "") -> dict[str, Any]:
    """The object in a JSON file of a checkpoint; a UserError of one line, with its `name`, for whatever else it is."""
    name = name or str(file)
    try:
        found = json.loads(file.read_text())
    except OSError as e:
        raise UserError(f"{name}: cannot be read ({e.strerror}); fetch the checkpoint again") from None
    except (ValueError, RecursionError) as e:
        reason = "nested too deeply" if isinstance(e, RecursionError) else e
        raise UserError(f"{name}: not valid JSON ({reason}); fetch the checkpoint again") from None
    if not isinstance(found, dict):
        raise UserError(f"{name}: no JSON object; fetch the checkpoint again")
    return found


def read_config(path: Path) -> dict[str, Any]:
    """config.json of a policy folder; missing, malformed, or asking for remote code is a UserError."""
    file = path / "config.json"
    if not os.path.lexists(file):
        raise UserError(f"{file}: no such file; {path} is not a Hugging Face model folder")
    config = read_object(file)
    if "auto_map" in config:
        raise UserError(
            f"{file}: the model needs remote code (auto_map), which is not run; use one built into transformers"
        )
    return config
