"""The code of one rule, as code.json names it: what training depends on in place of the whole folder rules/.

The code of a rule is its own file and all files of the folder that it imports, at once or inside a function, directly
or through another of them.  Code outside the folder serves all rules, and is a dep of training by itself.
"""

import ast
import hashlib
from pathlib import Path
from typing import Any

from tokenspectrum.weighting import rules
from tokenspectrum.weighting.registry import RULES

FOLDER = Path(rules.__file__).parent


def rule_code(kind: str) -> dict[str, Any]:
    """What code.json holds: the sha256 of each file that is code of the rules of that kind, by its name."""
    pending, found = ["__init__", RULES[kind].__module__.rpartition(".")[2]], {}
    while pending:
        name = pending.pop()
        if f"{name}.py" not in found:
            content = (FOLDER / f"{name}.py").read_bytes()
            found[f"{name}.py"] = hashlib.sha256(content).hexdigest()
            pending += _imported(content)
    return {"kind": kind, "files": found}


def _imported(content: bytes) -> list[str]:
    """Names of the folder's modules that a file of it imports."""
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
