"""Reading YAML: the one place that does it, with one clear line for whatever is wrong in a file.

DVC reads YAML 1.2; other tools read YAML 1.1.  A value that the two read differently, such as 010 or yes, is refused.
So everybody sees the same params.  Knows where each value stands, and nothing of what it means.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tokenspectrum.errors import UserError

_Base: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
MOST_VALUES = 1_000_000  # aliases included: a few lines of them can stand for billions of values

Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where a value stands: its file, its 1-based line, and the comments above and at the end of that line."""

    file: str
    line: int
    comment: str = ""


@dataclass(frozen=True)
class Document:
    """A YAML file: its mapping, and the place of every value by its path of keys and indices."""

    data: dict[str, Any]
    places: dict[Path_, Place] = field(default_factory=dict)


class _Loader(_Base):
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
    _Loader.add_implicit_resolver(
        f"{_TAG}{_name}", re.compile(rf"^(?:{_pattern})$"), [c if c != "\0" else "" for c in _first]
    )


def _int(loader: Any, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    digits = text.lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 10)
    return sign * int(digits[2:] if base != 10 else digits, base)


_Loader.add_constructor(f"{_TAG}int", _int)
_OLD = yaml.resolver.Resolver()


class _New(yaml.resolver.BaseResolver):
    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


_NEW = _New()


def _old_tag(text: str) -> str:
    return _OLD.resolve(yaml.ScalarNode, text, (True, False))


def is_text(text: str) -> bool:
    """Whether every reader takes the unquoted scalar `text` for text."""
    return _NEW.resolve(yaml.ScalarNode, text, (True, False)) == _old_tag(text) == f"{_TAG}str"


def _number(text: str) -> str:
    """What to write instead of a number with signs that readers disagree about."""
    with_sign = re.fullmatch(r"([-+]?)0*([0-9]+)", text.replace("_", ""))
    return f"write {with_sign[1]}{with_sign[2]}, or quote it" if with_sign else "write the plain number, or quote it"


def plain_problem(text: str, tag: str) -> str | None:
    """Why readers of YAML 1.1 and 1.2 may disagree about an unquoted `text`, and what to write; None if they agree."""
    old, new = _old_tag(text), tag
    numbers = (f"{_TAG}int", f"{_TAG}float")
    if new in numbers and "_" in text:
        return _number(text)
    if new == f"{_TAG}int" and re.match(r"[-+]?0([0-9]|o|b)", text):
        return _number(text)
    if old == new or (new == f"{_TAG}float" and old == f"{_TAG}str"):  # 1e-6: every reader here takes the number
        return None
    if old == f"{_TAG}bool":
        return f"write {'true' if text.lower() in ('yes', 'on') else 'false'}, or quote it"
    return "quote it"


def _read(path: Path) -> str:
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


def _refuse(path: Path, line: int, what: str) -> UserError:
    return UserError(f"{path} line {line}: {what}")


def _malformed(path: Path, text: str, e: Exception) -> UserError:
    mark = getattr(e, "problem_mark", None) or getattr(e, "context_mark", None)
    line = mark.line + 1 if mark else text[: getattr(e, "position", 0)].count("\n") + 1
    for number, content in enumerate(text.splitlines(), 1):
        if re.match(r"(<<<<<<<|>>>>>>>)( |$)|=======$", content):
            return _refuse(path, number, f"{content[:7]} is a conflict marker of Git's; settle the conflict")
    what = getattr(e, "problem", None) or getattr(e, "reason", None) or str(e)
    context = getattr(e, "context", None)
    said = " ".join(filter(None, [context, what])).replace("\n", " ")
    return _refuse(path, line, f"not valid YAML: {said}")


class _Check:
    """Walks a document's nodes: notes places, refuses what readers disagree about."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.lines, self.places = path, text.split("\n"), {}
        self.said: set[int] = set()
        self.sizes: dict[int, int] = {}
        self.open: set[int] = set()

    def _comment(self, line: int, column: int) -> str:
        # A wide character before it shifts nothing: marks count characters.
        rest = self.lines[line][column:] if line < len(self.lines) else ""
        found = re.match(r"[\s,\]}:]*(?:[&*]\w+)?\s#\s*(.*)$", rest)
        return found[1].strip() if found else ""

    def _place(self, at: Path_, key: yaml.Node, value: yaml.Node) -> None:
        line = key.start_mark.line
        end = value.end_mark if value.end_mark.line == key.end_mark.line else key.end_mark
        comment = ""
        # Of all values that begin in a line, the outermost has the comment.
        if line not in self.said:
            self.said.add(line)
            first = line
            while first and self.lines[first - 1].lstrip().startswith("#"):
                first -= 1
            # The comment that begins a file is about the file.
            above = [text.strip().removeprefix("#").strip() for text in self.lines[first:line]] if first else []
            comment = " ".join(filter(None, [*above, self._comment(end.line, end.column)]))
        self.places[at] = Place(str(self.path), line + 1, comment)

    def size(self, node: yaml.Node, at: Path_) -> int:
        """Values below `node`, those of aliases as often as they are named."""
        if id(node) in self.open:
            raise _refuse(self.path, node.start_mark.line + 1, "a value that holds itself through an alias")
        if id(node) in self.sizes:
            return self.sizes[id(node)]
        self.open.add(id(node))
        total = 1
        if isinstance(node, yaml.ScalarNode):
            self._scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            for i, one in enumerate(node.value):
                self._place((*at, i), one, one)
                total += self.size(one, (*at, i))
        else:
            total += self._mapping(node, at)
        self.open.remove(id(node))
        self.sizes[id(node)] = total
        if total > MOST_VALUES:
            raise _refuse(self.path, node.start_mark.line + 1, f"more than {MOST_VALUES:,} values through aliases")
        return total

    def _scalar(self, node: yaml.ScalarNode) -> None:
        if not node.style and (problem := plain_problem(node.value, node.tag)):
            said = f"{node.value!r} without quotes is read in two ways (YAML 1.1 and 1.2); {problem}"
            raise _refuse(self.path, node.start_mark.line + 1, said)

    def _mapping(self, node: yaml.MappingNode, at: Path_) -> int:
        total, seen = 0, {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _refuse(self.path, line, "a key must be a word, not a list or a mapping")
            if key.tag == f"{_TAG}merge":
                total += self.size(value, at)
                continue
            self._scalar(key)
            if key.tag != f"{_TAG}str":
                raise _refuse(self.path, line, f"the key {key.value!r} is not read as text; quote it")
            if key.value in seen:
                raise _refuse(self.path, line, f"{key.value!r} is given twice, first in line {seen[key.value]}")
            seen[key.value] = line
            self._place((*at, key.value), key, value)
            total += self.size(value, (*at, key.value))
        return total


def read_yaml(path: Path, text: str | None = None) -> Document:
    """The mapping in a YAML file that people write, with every value's place; a UserError names file and line.

    Refused: what is not UTF-8 or not YAML, keys given twice, values that YAML 1.1 and 1.2 read differently.
    """
    text = _read(path) if text is None else text
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            check = _Check(path, text)
            if node is not None:
                check.size(node, ())
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as e:
        raise _malformed(path, text, e) from None
    except RecursionError:
        raise _refuse(path, 1, "nested too deeply") from None
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise UserError(f"{path}: expected a mapping of sections at the top, found {found}")
    return Document(data, check.places)


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, as `read_yaml` reads it."""
    return read_yaml(path).data


def load_records(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file that DVC or this program wrote: as DVC reads it, without checks of style."""
    text = _read(path)
    try:
        data = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as e:
        raise _malformed(path, text, e) from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a mapping at the top, found {type(data).__name__}")
    return data
