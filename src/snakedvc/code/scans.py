"""What one file of code names: modules that it may import, and literals.  Nothing is imported for this.

A file whose bytes were looked at before is not parsed again.  Knows Python.  Knows neither stages nor which files there
are.
"""

import ast
import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from snakedvc.dvcfiles.records import write_atomically
from snakedvc.errors import ProjectError

KEPT = Path(".dvc/tmp/scans.json")
_IMPORTERS = ("importlib.import_module", "import_module", "__import__")
_IMPORTING = (ast.Import, ast.ImportFrom, ast.Call)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_FILE_NAME = re.compile(r"[\w][\w./-]*\.\w+")


def _is_type_checking(node: ast.If) -> bool:
    return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _walk(tree: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """Every node that can run, and whether it is inside a function, in no order.

    Docstrings and the bodies of `if TYPE_CHECKING:` are skipped.
    """
    pending = [(tree, False)]
    while pending:
        node, in_function = pending.pop()
        yield node, in_function
        inside = in_function or isinstance(node, _FUNCTIONS)
        for name in node._fields:
            value = getattr(node, name, None)
            for child in value if isinstance(value, list) else (value,):
                if not isinstance(child, ast.AST) or isinstance(child, ast.expr_context):
                    continue
                if isinstance(child, ast.If) and _is_type_checking(child):
                    pending += ((other, inside) for other in child.orelse)
                elif not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
                    pending.append((child, inside))


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    keep = len(parts) - node.level + (1 if is_package else 0)
    return ".".join([*parts[:keep], *filter(None, [node.module])])


def _called_name(call: ast.Call) -> str:
    func = call.func
    if isinstance(func, ast.Name):
        return func.id
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
        return f"{func.value.id}.{func.attr}"
    return ""


@dataclass(frozen=True)
class Scan:
    """What one file names: dotted names that it imports or may import (`from a import b`), and literals.

    `early`: the imports outside any function, which run when the file itself is imported.
    `computed`: the first line that imports a computed name; None if there is none.
    """

    names: frozenset[str]
    early: frozenset[str]
    literals: frozenset[str]
    computed: int | None


def _imported(node: ast.Import | ast.ImportFrom | ast.Call, path: Path, module: str) -> set[str] | None:
    """The dotted names that `node` imports; None for a computed name."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        base = _absolute(node, module, path.name == "__init__.py")
        return {base, *(f"{base}.{alias.name}" for alias in node.names)}
    if _called_name(node) not in _IMPORTERS:
        return set()
    first = node.args[0] if node.args else None
    return {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _parsed(path: Path, module: str, content: bytes) -> Scan:
    try:
        tree = ast.parse(content, str(path))
    except SyntaxError as e:
        raise ProjectError(f"{path}:{e.lineno}: {e.msg}") from None
    names: set[str] = set()
    early: set[str] = set()
    literals: set[str] = set()
    computed: list[int] = []
    for node, in_function in _walk(tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and _FILE_NAME.fullmatch(node.value):
                literals.add(node.value)
        elif isinstance(node, _IMPORTING):
            found = _imported(node, path, module)
            if found is None:
                computed.append(node.lineno)
                continue
            names |= found
            early |= set() if in_function else found
    return Scan(frozenset(names), frozenset(early), frozenset(literals), min(computed, default=None))


_found: dict[str, Scan] = {}  # all that this process looked at


def scan(path: Path, module: str, content: bytes) -> Scan:
    """What the file `path` of the dotted `module` names.  ProjectError if it is no Python."""
    # A relative import means another module in a package's own file.
    about = f"{_reader()} {module} {path.name == '__init__.py'}\n"
    key = hashlib.md5(about.encode() + content, usedforsecurity=False).hexdigest()
    if key not in _found:
        _found[key] = _kept(os.getcwd()).get(key) or _parsed(path, module, content)
    return _found[key]


@cache
def _reader() -> str:
    """What reads: this file, and Python's parser."""
    return hashlib.md5(Path(__file__).read_bytes() + sys.version.encode(), usedforsecurity=False).hexdigest()


@cache
def _kept(project: str) -> dict[str, Scan]:
    """What an earlier process kept in the project."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        kept = json.loads(Path(project, KEPT).read_text())
        return {
            key: Scan(*map(frozenset, (one["names"], one["early"], one["literals"])), one["computed"])
            for key, one in kept.items()
        }
    return {}


def keep() -> None:
    """Keep what this process looked at, for the next."""
    kept = {key: {name: _plain(value) for name, value in vars(one).items()} for key, one in _found.items()}
    with contextlib.suppress(OSError):  # of a project that cannot be written, nothing is kept
        write_atomically(KEPT, json.dumps(kept), sync=False)


def _plain(value: frozenset[str] | int | None) -> list[str] | int | None:
    return sorted(value) if isinstance(value, frozenset) else value
