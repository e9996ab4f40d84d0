"""YAML that people write: refused where it may not mean what they meant, with the line; and where each value stands.

Readers of YAML 1.1 and 1.2 take 010 or yes for different values, and most take the last of two equal keys.  Both are
refused, so that everybody sees the same params.  Knows nothing of what the values mean.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.resolver import BaseResolver, Resolver

from tokenspectrum.errors import UserError
from tokenspectrum.params.yaml_file import TAG, Loader, malformed, mapping, read_text

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


# What the library counts as the end of a line: more than an editor may show.
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_OLD = Resolver()


class _New(BaseResolver):
    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers


_NEW = _New()


def _old_tag(text: str) -> str:
    return _OLD.resolve(yaml.ScalarNode, text, (True, False))


def is_text(text: str) -> bool:
    """Whether every reader takes the unquoted scalar `text` for text."""
    return _NEW.resolve(yaml.ScalarNode, text, (True, False)) == _old_tag(text) == f"{TAG}str"


def _number(text: str) -> str:
    """What to write instead of a number with signs that readers disagree about."""
    with_sign = re.fullmatch(r"([-+]?)0*([0-9]+)", text.replace("_", ""))
    return f"write {with_sign[1]}{with_sign[2]}, or quote it" if with_sign else "write the plain number, or quote it"


def plain_problem(text: str, tag: str) -> str | None:
    """Why readers of YAML 1.1 and 1.2 may disagree about an unquoted `text`, and what to write; None if they agree."""
    old, new = _old_tag(text), tag
    numbers = (f"{TAG}int", f"{TAG}float")
    if new in numbers and "_" in text:
        return _number(text)
    if new == f"{TAG}int" and re.match(r"[-+]?0([0-9]|o|b)", text):
        return _number(text)
    if old == new or (new == f"{TAG}float" and old == f"{TAG}str"):  # 1e-6: every reader here takes the number
        return None
    if old == f"{TAG}bool":
        return f"write {'true' if text.lower() in ('yes', 'on') else 'false'}, or quote it"
    return "quote it"


def _refuse(path: Path, line: int, what: str) -> UserError:
    return UserError(f"{path} line {line}: {what}")


def _line(node: Any) -> int:
    """The 1-based line of a node; one that was read from a text always has a mark."""
    return node.start_mark.line + 1


class _Check:
    """Walks a document's nodes: notes places, refuses what readers disagree about."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.lines, self.places = path, _BREAK.split(text), {}
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
        elif isinstance(node, yaml.MappingNode):
            total += self._mapping(node, at)
        self.open.remove(id(node))
        self.sizes[id(node)] = total
        if total > MOST_VALUES:
            raise _refuse(self.path, node.start_mark.line + 1, f"more than {MOST_VALUES:,} values through aliases")
        return total

    def _scalar(self, node: yaml.ScalarNode) -> None:
        if not node.style and (problem := plain_problem(node.value, node.tag)):
            said = f"{node.value!r} without quotes is read in two ways (YAML 1.1 and 1.2); {problem}"
            raise _refuse(self.path, _line(node), said)

    def _mapping(self, node: yaml.MappingNode, at: Path_) -> int:
        total, seen = 0, {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _refuse(self.path, line, "a key must be a word, not a list or a mapping")
            if key.tag == f"{TAG}merge":
                total += self.size(value, at)
                continue
            self._scalar(key)
            if key.tag != f"{TAG}str":
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
    text = read_text(path) if text is None else text
    try:
        loader = Loader(text)
        try:
            node = loader.get_single_node()
            check = _Check(path, text)
            if node is not None:
                check.size(node, ())
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as e:
        raise malformed(path, text, e) from None
    except RecursionError:
        raise _refuse(path, 1, "nested too deeply") from None
    return Document(mapping(path, data), check.places)
