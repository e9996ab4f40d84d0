"""Find the first-party files that a stage's entry module needs: its import closure.  Nothing is imported for this.

These count:
- imports anywhere in a file, also inside functions, with the `__init__.py` of every parent package;
- `importlib.import_module` of a literal;
- modules whose whole dotted name is a literal, such as an argument of a program that is started;
- data files that a literal names: `*.sql` below src, or a file beside the module.
Imports under `if TYPE_CHECKING:` never run, so they do not count.  Knows Python.  Knows no stages.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from snakedvc.code.scans import scan
from snakedvc.dvcfiles.templates import DVC_YAML
from snakedvc.errors import ProjectError
from snakedvc.settings import under

SOURCE = Path("src")


def module_file(module: str, source: Path = SOURCE) -> Path | None:
    """The file of dotted module `module` below `source`, None if it is not first-party."""
    base = source.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


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


@dataclass(frozen=True)
class _Node:
    """One module: its file, the data files that it names, and the names that it may import, with their parents."""

    path: Path
    data: frozenset[Path]
    names: frozenset[str]
    computed: int | None


@dataclass(frozen=True)
class Modules:
    """The modules below `source`, each read once: for several closures of files that nobody edits meanwhile."""

    source: Path = SOURCE
    _nodes: dict[str, _Node | None] = field(default_factory=dict)
    _early: dict[str, set[str]] = field(default_factory=dict)

    def node(self, module: str) -> _Node | None:
        """What is known of a module; None if it is not first-party."""
        if module not in self._nodes:
            path = module_file(module, self.source)
            self._nodes[module] = self._read(module, path) if path else None
        return self._nodes[module]

    def early(self, file: str) -> set[str]:
        """Paths of the first-party files that are imported as soon as `file` is.  `file` itself is left out."""
        if file not in self._early:
            module = modules_in(Path(file), self.source)[0]
            names = _with_parents(scan(Path(file), module, Path(file).read_bytes()).early)
            found = (self.node(n) for n in self._ours(names))
            self._early[file] = {n.path.as_posix() for n in found if n} - {file}
        return self._early[file]

    def _ours(self, names: Iterable[str]) -> frozenset[str]:
        """The names that may be modules below `source`, by their beginning."""
        here = set(os.listdir(self.source))
        return frozenset(n for n in names if (top := n.partition(".")[0]) in here or f"{top}.py" in here)

    def _read(self, module: str, path: Path) -> _Node:
        found = scan(path, module, path.read_bytes())
        # Such as a program that is started, `[sys.executable, "-m", "package.a.b"]`, or a plug-in's name.
        names = _with_parents([*found.names, *(literal for literal in found.literals if "/" not in literal)])
        data = frozenset(_data_files(path, found.literals, self.source))
        return _Node(path, data, self._ours(names), found.computed)


def modules_in(folder: Path, source: Path = SOURCE) -> list[str]:
    """The dotted names of all modules below `folder`."""
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]
    return [".".join(f.relative_to(source).with_suffix("").parts).removesuffix(".__init__") for f in files]


def _with_parents(names: Iterable[str]) -> Iterator[str]:
    """The names with their parents.  `import a.b.c` runs a and a.b too, even if a.b.c is an attribute, not a module."""
    for name in names:
        yield name
        yield from (name[: m.start()] for m in re.finditer(r"\.", name))


def closure(
    entry: str, whole: Iterable[str] = (), listed: Iterable[str] = (), modules: Modules | None = None
) -> list[str]:
    """Paths of all first-party files that `python -m entry` and the folders `whole` need, sorted.

    Code may find the files of a folder by listing it.  So if one file of a folder in `listed` is needed, all are.
    Files in `whole` and `listed` may import a computed name.  ProjectError if another file does, or if `entry` is no
    module.
    """
    whole, listed, modules = tuple(whole), tuple(listed), modules or Modules()
    source = modules.source
    if module_file(entry, source) is None:
        raise ProjectError(f"{source}: no module {entry}, which {DVC_YAML} runs")
    files: set[Path] = set()
    pending, seen = {*_with_parents([entry, *(m for f in whole for m in modules_in(Path(f), source))])}, set[str]()
    while pending:
        module = pending.pop()
        seen.add(module)
        node = modules.node(module)
        if node is None:
            continue
        path = node.path.as_posix()
        if node.computed is not None and not under(path, (*whole, *listed)):
            where = f"{path}:{node.computed}"
            raise ProjectError(f"{where}: an import of a computed name cannot be followed: use a literal")
        files |= {node.path, *node.data}
        for folder in (f for f in listed if under(path, (f,))):
            pending |= {*modules_in(Path(folder), source)} - seen
        pending |= node.names - seen
    return sorted(p.as_posix() for p in files)
