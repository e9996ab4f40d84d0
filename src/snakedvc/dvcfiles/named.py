"""Code that params call by its path, `package.module:function`.

Its package below src/, or its module, is in the key of the stages that have such a value among their params, and of no
other.  So are the packages and modules that this code imports from beside it: else the stage would find them in the
working tree, and an edit there would rerun nothing.  Packages of which the stage itself lists code are left out.
"""

import ast
import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from snakedvc.dvcfiles.record import CODE_ROOT
from snakedvc.dvcfiles.templates import lookup
from snakedvc.errors import ProjectError

NAMED_CODE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def listed_code(template: Mapping[str, Any]) -> frozenset[str]:
    """The packages and modules below src/ that a stage of dvc.yaml lists code of."""
    deps = (dep for dep in template.get("deps") or () if isinstance(dep, str))
    return frozenset(Path(dep).parts[1].removesuffix(".py") for dep in deps if re.match(f"{CODE_ROOT}[^/$]", dep))


def named_code(params: Mapping[str, Any], names: Iterable[str], listed: frozenset[str] = frozenset()) -> list[str]:
    """The paths of the code that the named params call; `listed`: packages that are not followed."""
    pending: set[str] = set()
    for name in names:
        with contextlib.suppress(ProjectError):  # a missing param is reported by whoever reads its value
            texts = filter(NAMED_CODE.fullmatch, _texts(lookup(params, name, name)))
            pending |= {re.split("[.:]", text)[0] for text in texts}
    seen: set[str] = set()
    found: set[str] = set()
    while pending:
        top = pending.pop()
        seen.add(top)
        for path in (Path(CODE_ROOT, top), Path(CODE_ROOT, f"{top}.py")):
            if path.exists():
                found.add(path.as_posix())
                for file in path.rglob("*.py") if path.is_dir() else [path]:
                    with contextlib.suppress(OSError):  # an editor's lock; whoever hashes the folder names it
                        pending |= _imported(file.read_bytes()) - seen - listed
    return sorted(found)


def _texts(node: Any) -> Iterator[str]:
    """Every text in a tree of params."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, (list, Mapping)):
        for one in node.values() if isinstance(node, Mapping) else node:
            yield from _texts(one)


@cache
def _imported(content: bytes) -> frozenset[str]:
    """The first word of each absolute import in a file; none if it is no Python, which its user is told elsewhere."""
    found: set[str] = set()
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
                names = (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant))
                # A name that begins with a dot is of its own package.
                found |= {name.partition(".")[0] for name in names if isinstance(name, str)} - {""}
    return frozenset(found)
