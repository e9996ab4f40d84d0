"""The bridge is a package of its own: what it imports, that it has no import circle, that an install holds it."""

import ast
from pathlib import Path

from bridge_kit import ROOT, Toy

PACKAGE = ROOT / "src/snakedvc"
FILES = {
    ".".join(p.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__"): p
    for p in sorted(PACKAGE.rglob("*.py"))
}


def imports(path: Path, everywhere: bool) -> set[str]:
    """Modules that a file imports: all of them, or those that its own import needs."""
    tree = ast.parse(path.read_text())
    names: set[str] = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def circles(edges: dict[str, set[str]]) -> list[str]:
    """The nodes that can be reached from themselves."""
    reached = {a: set(b) for a, b in edges.items()}
    for _ in edges:
        reached = {a: b.union(*(reached.get(c, set()) for c in b)) for a, b in reached.items()}
    return sorted(a for a, b in reached.items() if a in b)


def test_it_knows_nothing_of_tokens():
    for module, path in FILES.items():
        assert not [n for n in imports(path, everywhere=True) if n.split(".")[0] == "tokenspectrum"], module


def test_it_names_no_project():
    for path in PACKAGE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert "spectrum" not in path.read_text().lower(), path


def test_only_the_command_line_knows_it():
    for path in (ROOT / "src/tokenspectrum").rglob("*.py"):
        if "cli" not in path.parts:
            assert not [n for n in imports(path, everywhere=True) if n.split(".")[0] == "snakedvc"], path


def test_no_module_and_no_folder_is_in_an_import_circle():
    own = {m: {n for n in imports(p, everywhere=True) if n in FILES} - {m} for m, p in FILES.items()}
    assert circles(own) == []
    rooms: dict[str, set[str]] = {}
    for module, needs in own.items():
        room = module.split(".")[1:2]
        if room and module.count(".") > 1:
            rooms.setdefault(room[0], set()).update(
                n.split(".")[1] for n in needs if n.count(".") > 1 and n.split(".")[1] != room[0]
            )
    assert {"dvcfiles", "code", "running", "planning", "site"} <= rooms.keys()
    assert circles(rooms) == []


def test_jobs_run_where_the_working_folder_is_not_on_the_path(fresh: Toy):
    """As under a site's PYTHONSAFEPATH, which Snakemake's jobs inherit."""
    assert fresh.make("artifacts/t/source", PYTHONSAFEPATH="1") == {"source": "ran"}
    done = fresh.command("python", "-m", "snakedvc", "status", "source", check=False, PYTHONSAFEPATH="1")
    assert "Traceback" not in done.stderr
