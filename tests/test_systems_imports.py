"""Systems code decides no result: it imports nothing that does.  So its folder needs no key."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
FILES = sorted((SOURCE / "tokenspectrum/systems").rglob("*.py"))
# Params and errors are words; policy.shape counts weights.
ALLOWED = ("tokenspectrum.systems", "tokenspectrum.params", "tokenspectrum.errors", "tokenspectrum.policy.shape")


def imports(file: Path) -> set[str]:
    """First-party modules that `file` imports, at its top or within a function."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.startswith("tokenspectrum.")}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_systems_code_imports_nothing_that_decides_a_result(file) -> None:
    for name in imports(file):
        assert name.startswith(ALLOWED), f"{file} imports {name}"


def test_what_systems_code_may_import_imports_nothing_else_either() -> None:
    """Params hold no weighting, reward, sampling or loss of their own: their imports stay among words too."""
    reached, pending = set(), [name for file in FILES for name in imports(file)]
    while pending:
        name = pending.pop()
        file = SOURCE.joinpath(*name.split(".")).with_suffix(".py")
        if name in reached or not file.is_file():
            continue
        reached.add(name)
        pending += imports(file)
    rooms = {name.split(".")[1] for name in reached}
    assert not rooms & {"weighting", "entropy", "reward", "rollout", "evaluation", "tokenlog", "training", "stages"}, (
        rooms
    )
