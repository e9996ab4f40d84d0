"""Reading YAML: the one place that does it.  Values are those that DVC reads, which is YAML 1.2.

Knows no file by name, and nothing of what the values mean.  What people write is checked in yaml_checked.py.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tokenspectrum.errors import UserError

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TAG = "tag:yaml.org,2002:"


class Loader(_Base):
    """YAML 1.2's plain scalars, as DVC's library resolves them."""

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


def read_text(path: Path) -> str:
    """The text of a file in UTF-8."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        hint = "; `spectrum preset tiny` writes the default one" if path.name == "params.yaml" else ""
        raise UserError(f"{path}: no such file{hint}") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror})") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = content[: e.start].count(b"\n") + 1
        kind = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else f"not UTF-8: byte 0x{content[e.start]:02x}"
        raise UserError(f"{path} line {line}: {kind}; save the file as UTF-8") from None


def malformed(path: Path, text: str, e: Exception) -> UserError:
    """One line for what the library found."""
    mark = getattr(e, "problem_mark", None) or getattr(e, "context_mark", None)
    line = mark.line + 1 if mark else text[: getattr(e, "position", 0)].count("\n") + 1
    for number, content in enumerate(text.splitlines(), 1):
        if re.match(r"(<<<<<<<|>>>>>>>)( |$)|=======$", content):
            return UserError(f"{path} line {number}: {content[:7]} is a conflict marker of Git's; settle the conflict")
    what = getattr(e, "problem", None) or getattr(e, "reason", None) or str(e)
    context = getattr(e, "context", None)
    said = " ".join(filter(None, [context, what])).replace("\n", " ")
    return UserError(f"{path} line {line}: not valid YAML: {said}")


def mapping(path: Path, data: Any) -> dict[str, Any]:
    """The mapping that a file must hold."""
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise UserError(f"{path}: expected a mapping of sections at the top, found {found}")
    return data


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; a UserError names file and line of what is wrong."""
    text = read_text(path)
    try:
        data = yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError) as e:
        raise malformed(path, text, e) from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply") from None
    return mapping(path, data)
