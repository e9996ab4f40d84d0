"""Read YAML as DVC reads it.  Knows no file by name."""

import re
from pathlib import Path
from typing import Any

import yaml

from snakedvc.errors import ProjectError

_Base: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """PyYAML reads 1e-3 as text (YAML 1.1).  DVC reads it as a number (YAML 1.2), and keys must not differ."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.  A missing or malformed file is a ProjectError that names file and line."""
    try:
        data = yaml.load(path.read_text(), _Loader)
    except FileNotFoundError:
        raise ProjectError(f"{path}: no such file") from None
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise ProjectError(f"{path}{where}: not valid YAML: {getattr(e, 'problem', None) or e}") from None
    if not isinstance(data, dict):
        raise ProjectError(f"{path}: expected a mapping at the top, found {type(data).__name__}")
    return data
