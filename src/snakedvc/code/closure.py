"""Find the first-party files that a stage's entry module needs: its import closure.  Nothing is imported for this.

These count:
- imports anywhere in a file, also inside functions, with the `__init__.py` of every parent package;
- `importlib.import_module` of a literal;
- modules whose whole dotted name is a literal, such as an argument of a program that is started;
- data files that a literal names: `*.sql` below src, or a file beside the module.
Imports under `if TYPE_CHECKING:` never run, so they do not count.  Knows Python.  Knows no stages.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from snakedvc.dvcfiles.pipeline import DVC_YAML
from snakedvc.errors import ProjectError
from snakedvc.settings import under

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


def _is_type_checking(node: ast.If) -> bool:
    return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _walk(node: ast.AST, in_function: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node that can run, and whether it is inside a function.

    Docstrings and the bodies of `if TYPE_CHECKING:` are skipped.
    """
    yield node, in_function
    inside = in_function or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child):
            for other in child.orelse:
                yield from _walk(other, inside)
        elif not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
            yield from _walk(child, inside)


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    keep = len(parts) - node.level + (1 if is_package else 0)
    return ".".join([*parts[:keep], *filter(None, [node.module])])


def _called_name(call: ast.Call) -> str:
    return ast.unparse(call.func) if isinstance(call.func, (ast.Name, ast.Attribute)) else ""


@dataclass(frozen=True)
class _Scan:
    """What one file names: dotted names that it imports or may import (`from a import b`), and literals.

    `early`: the imports outside any function, which run when the file itself is imported.
    `computed`: the first line that imports a computed name; None if there is none.
    """

    names: frozenset[str]
    early: frozenset[str]
    literals: frozenset[str]
    computed: int | None


def _imported(node: ast.AST, path: Path, module: str) -> set[str] | None:
    """The dotted names that `node` imports; None for a computed name."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        base = _absolute(node, module, path.name == "__init__.py")
        return {base, *(f"{base}.{alias.name}" for alias in node.names)}
    if isinstance(node, ast.Call) and _called_name(node) in _IMPORTERS:
        first = node.args[0] if node.args else None
        return {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
    return set()


@cache
def _scan(path: Path, module: str, content: bytes) -> _Scan:
    try:
        tree = ast.parse(content, str(path))
    except SyntaxError as e:
        raise ProjectError(f"{path}:{e.lineno}: {e.msg}") from None
    names: set[str] = set()
    early: set[str] = set()
    literals: set[str] = set()
    computed: int | None = None
    for node, in_function in _walk(tree):
        found = _imported(node, path, module)
        if found is None:
            computed = computed or getattr(node, "lineno", 0)
            continue
        names |= found
        early |= set() if in_function else found
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _FILE_NAME.fullmatch(node.value):
            literals.add(node.value)
    return _Scan(frozenset(names), frozenset(early), frozenset(literals), computed)


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


def modules_in(folder: Path, source: Path = SOURCE) -> list[str]:
    """The dotted names of all modules below `folder`."""
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]
    return [".".join(f.relative_to(source).with_suffix("").parts).removesuffix(".__init__") for f in files]


def _with_parents(names: Iterable[str]) -> Iterator[str]:
    """The names with their parents.  `import a.b.c` runs a and a.b too, even if a.b.c is an attribute, not a module."""
    for name in names:
        yield name
        yield from (name[: m.start()] for m in re.finditer(r"\.", name))


def closure(entry: str, whole: Iterable[str] = (), listed: Iterable[str] = (), source: Path = SOURCE) -> list[str]:
    """Paths of all first-party files that `python -m entry` and the folders `whole` need, sorted.

    Code may find the files of a folder by listing it.  So if one file of a folder in `listed` is needed, all are.
    Files in `whole` and `listed` may import a computed name.  ProjectError if another file does, or if `entry` is no
    module.
    """
    whole, listed = tuple(whole), tuple(listed)
    if module_file(entry, source) is None:
        raise ProjectError(f"{source}: no module {entry}, which {DVC_YAML} runs")
    files: set[Path] = set()
    pending, seen = [*_with_parents([entry, *(m for f in whole for m in modules_in(Path(f), source))])], set()
    while pending:
        module = pending.pop()
        path = module_file(module, source)
        if module in seen or path is None:
            continue
        seen.add(module)
        scan = _scan(path, module, path.read_bytes())
        if scan.computed is not None and not under(path.as_posix(), (*whole, *listed)):
            where = f"{path}:{scan.computed}"
            raise ProjectError(f"{where}: an import of a computed name cannot be followed: use a literal")
        files |= {path, *_data_files(path, scan.literals, source)}
        for folder in (f for f in listed if under(path.as_posix(), (f,))):
            pending += modules_in(Path(folder), source)
        # Such as a program that is started, `[sys.executable, "-m", "package.a.b"]`, or a plug-in's name.
        pending += _with_parents([*scan.names, *(literal for literal in scan.literals if "/" not in literal)])
    return sorted(p.as_posix() for p in files)


def early_imports(file: Path, source: Path = SOURCE) -> set[str]:
    """Paths of the first-party files that are imported as soon as `file` is.  `file` itself is left out."""
    module = modules_in(file, source)[0]
    found = (module_file(n, source) for n in _with_parents(_scan(file, module, file.read_bytes()).early))
    return {p.as_posix() for p in found if p and p != file}
