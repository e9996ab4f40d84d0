"""The code of one rule, as code.json holds it.  Training depends on code.json instead of the whole folder rules/.

The code of a rule is its own file and all files of the folder that it imports, directly or through each other.  Imports
inside a function count too, and so does `import_module` of a name that stands there.  Code outside the folder serves
all rules, and training depends on it directly.

The code of a function that a path names is its module, and what that imports of the user's own modules below src/ and
of the folder.  The user's files are under `also`: no stage lists them for training, so its frozen copy gets what stands
there.
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.weighting import rules
from tokenspectrum.weighting.registry import RULES, is_path
from tokenspectrum.weighting.rules import _python
from tokenspectrum.weighting.rules._python import PACKAGE, module_file

FOLDER = Path(rules.__file__).parent


def rule_code(kind: str) -> dict[str, Any]:
    """The content of code.json: for each file of this kind's code its name and sha256.

    UserError for a file of the user's that is no Python.
    """
    own = is_path(kind)
    pending = [rules.__name__, *([_python.__name__, kind.partition(":")[0]] if own else [RULES[kind].__module__])]
    inside: dict[str, str] = {}
    also: dict[str, str] = {}
    seen: set[str] = set()
    while pending:
        module = pending.pop()
        path = module_file(module)
        if module in seen or path is None:
            continue
        seen.add(module)
        if path.parent != FOLDER and (not own or module.split(".")[0] == PACKAGE):
            continue
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if path.parent == FOLDER:
            inside[path.name] = digest
        else:
            also[path.relative_to(_python.SOURCE.parent).as_posix()] = digest
        try:
            pending += _imported(content, module, is_package=path.name == "__init__.py")
        except (SyntaxError, ValueError) as e:
            raise UserError(f"{kind}: {path.relative_to(_python.SOURCE)} is no Python: {e}") from None
    return {"kind": kind, "files": dict(sorted(inside.items()))} | ({"also": dict(sorted(also.items()))} if own else {})


def _imported(content: bytes, module: str, *, is_package: bool) -> Iterator[str]:
    """Names that a module imports or may import (`from a import b`), each with its parents."""
    own, names = module.split("."), {module}

    def absolute(level: int, name: str) -> str:
        above = own[: len(own) - level + is_package] if level else []
        return ".".join([*above, *filter(None, [name])])

    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node.level, node.module or "")
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            given = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
            texts = [text for text in given if isinstance(text, str)]
            names |= {absolute(len(text) - len(text.lstrip(".")), text.lstrip(".")) for text in texts}
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))
