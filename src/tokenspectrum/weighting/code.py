"""The code of one rule, as code.json holds it.  Training depends on code.json instead of the whole folder rules/.

The code of a rule is its own file and all files of the folder that it imports, directly or through each other.  Imports
inside a function count too.  Code outside the folder serves all rules, and training depends on it directly.
"""

import ast
import hashlib
from pathlib import Path
from typing import Any

from tokenspectrum.weighting import rules
from tokenspectrum.weighting.registry import RULES

FOLDER = Path(rules.__file__).parent


def rule_code(kind: str) -> dict[str, Any]:
    """The content of code.json: for each file of this kind's code its name and sha256."""
    pending, found = ["__init__", RULES[kind].__module__.rpartition(".")[2]], {}
    while pending:
        name = pending.pop()
        if f"{name}.py" not in found:
            content = (FOLDER / f"{name}.py").read_bytes()
            found[f"{name}.py"] = hashlib.sha256(content).hexdigest()
            pending += _imported(content)
    return {"kind": kind, "files": found}


def _imported(content: bytes) -> list[str]:
    """Names of the folder's modules that a file of the folder imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = f"{rules.__name__}.{node.module or ''}".rstrip(".") if node.level else node.module or ""
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    inside = {
        name.removeprefix(f"{rules.__name__}.").split(".")[0] for name in names if name.startswith(rules.__name__)
    }
    return sorted(name for name in inside if (FOLDER / f"{name}.py").is_file())
