"""Read YAML as DVC reads it, which is YAML 1.2.  Knows no file by name."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from snakedvc.errors import ProjectError

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TAG = "tag:yaml.org,2002:"


class Loader(_Base):
    """Resolves plain scalars by YAML 1.2, as DVC's library does."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - PyYAML's own attribute


_PLAIN = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (
        "float",
        r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.[0-9_]+([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("int", r"[-+]?0b[0-1_]+|[-+]?0o?[0-7_]+|[-+]?[0-9_]+|[-+]?0x[0-9a-fA-F_]+", "-+0123456789"),
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
)
for _name, _pattern, _first in _PLAIN:
    Loader.add_implicit_resolver(
        f"{TAG}{_name}", re.compile(rf"^(?:{_pattern})$"), [c if c != "\0" else "" for c in _first]
    )


def _int(loader: Any, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    digits = text.lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 10)
    return sign * int(digits[2:] if base != 10 else digits, base)


Loader.add_constructor(f"{TAG}int", _int)


def _reason(error: Exception) -> str:
    """What is wrong, in one line."""
    return " ".join((getattr(error, "problem", None) or str(error)).split())


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.  A missing or malformed file is a ProjectError that names file and line."""
    try:
        data = yaml.load(path.read_bytes().decode(), Loader)
    except FileNotFoundError:
        raise ProjectError(f"{path}: no such file") from None
    except UnicodeDecodeError as e:
        line = e.object[: e.start].count(b"\n") + 1
        raise ProjectError(f"{path} line {line}: not UTF-8; save the file as UTF-8") from None
    except (yaml.YAMLError, ValueError) as e:
        mark = getattr(e, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise ProjectError(f"{path}{where}: not valid YAML: {_reason(e)}") from None
    if not isinstance(data, dict):
        raise ProjectError(f"{path}: expected a mapping at the top, found {type(data).__name__}")
    return data
