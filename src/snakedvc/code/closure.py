"""The first-party files that a stage's entry module needs: its import closure, found without importing anything.

Followed are imports anywhere in a file, inside functions too, with the `__init__.py` of every parent package;
`importlib.import_module` of a literal; modules that a literal names by their whole dotted name, as the arguments of a
program that is started do; and data files that a literal names: `*.sql` below src, or a file beside the module.
Imports under `if TYPE_CHECKING:` never run and are left out.  Knows Python, not stages.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from snakedvc.errors import ProjectError

SOURCE = Path("src")
_IMPORTERS = ("importlib.import_module", "import_module", "__import__")
_FILE_NAME = re.compile(r"[\w][\w./-]*\.\w+")


def module_file(module: str, source: Path = SOURCE) -> Path | None:
    """The file of dotted module `module` below `source`, None if it is not first-party."""
    base = source.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that can run: bodies of `if TYPE_CHECKING:` are skipped, docstrings too."""
    yield node
    for child in ast.iter_child_nodes(node):
        if _is_type_checking(child):
            for other in child.orelse:
                yield from _walk(other)
        elif not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
            yield from _walk(child)


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    keep = len(parts) - node.level + (1 if is_package else 0)
    return ".".join([*parts[:keep], *filter(None, [node.module])])


def _called_name(call: ast.Call) -> str:
    return ast.unparse(call.func) if isinstance(call.func, (ast.Name, ast.Attribute)) else ""


@cache
def _scan(path: Path, module: str, content: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """Dotted names that the file imports, or might (`from a import b`), and literals that look like file names."""
    try:
        tree = ast.parse(content, str(path))
    except SyntaxError as e:
        raise ProjectError(f"{path}:{e.lineno}: {e.msg}") from None
    names: set[str] = set()
    literals: set[str] = set()
    for node in _walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, path.name == "__init__.py")
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and _called_name(node) in _IMPORTERS:
            first = node.args[0] if node.args else None
            if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                raise ProjectError(
                    f"{path}:{node.lineno}: an import of a computed name cannot be followed: use a literal"
                )
            names.add(first.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _FILE_NAME.fullmatch(node.value):
            literals.add(node.value)
    return frozenset(names), frozenset(literals)


def _data_files(path: Path, literals: frozenset[str], source: Path) -> Iterator[Path]:
    for literal in literals:
        beside = path.parent / literal
        if beside.is_file() and beside.suffix != ".py":
            yield beside
        elif literal.endswith(".sql"):
            found = sorted(p for p in source.rglob(Path(literal).name) if p.as_posix().endswith("/" + literal))
            if len(found) != 1:
                what = "no such file" if not found else f"several: {', '.join(map(str, found))}"
                raise ProjectError(f"{path}: names {literal!r}, of which there is {what} below {source}")
            yield found[0]


def closure(entry: str, source: Path = SOURCE) -> list[str]:
    """Paths of all first-party files that `python -m entry` needs, sorted.  ProjectError if the module is not there."""
    if module_file(entry, source) is None:
        raise ProjectError(f"{source}: no module {entry}, which dvc.yaml runs")
    files: set[Path] = set()
    pending, seen = [entry], set()
    while pending:
        module = pending.pop()
        path = module_file(module, source)
        if module in seen or path is None:
            continue
        seen.add(module)
        names, literals = _scan(path, module, path.read_bytes())
        files |= {path, *_data_files(path, literals, source)}
        parents = module.split(".")[:-1]
        pending += names
        # A program that is started, or a plug-in that is named: `[sys.executable, "-m", "tokenspectrum.a.b"]`.
        pending += [literal for literal in literals if "/" not in literal]
        pending += [".".join(parents[: i + 1]) for i in range(len(parents))]
        # `import a.b.c` runs a and a.b too, even where a.b.c itself is an attribute and no module.
        pending += [".".join(n.split(".")[: i + 1]) for n in names for i in range(n.count("."))]
    return sorted(p.as_posix() for p in files)
