"""Lists that the pages give are whole: rooms, jobs of Slurm, commands of the bridge, how an execution ends."""

import ast
import re
from pathlib import Path
from typing import get_args

from snakedvc.cli.main import COMMANDS
from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.running.journal import How
from tokenspectrum.results.discover import results

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src/tokenspectrum"


def page(name: str) -> str:
    return (ROOT / name).read_text()


def looks_down(rooms: list[str]) -> set[str]:
    """Modules below `src/tokenspectrum` that import a room which the list has behind their own."""
    found = set()
    for path in SOURCE.glob("*/**/*.py"):
        room = path.relative_to(SOURCE).parts[0]
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        names = [(node.module or "").split(".") for node in nodes]
        used = {name[1] for name in names if name[0] == "tokenspectrum" and len(name) > 1} & set(rooms)
        if any(rooms.index(other) > rooms.index(room) for other in used):
            found.add(path.relative_to(SOURCE).as_posix())
    return found


def test_the_page_has_every_room_and_says_which_modules_look_down():
    text = page("docs/architecture.md")
    rooms = re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)
    assert sorted(rooms) == sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))
    (told,) = re.findall(r"Three modules do too: (.*?)\n\n", text, re.DOTALL)
    modules = {path for path in looks_down(rooms) if not path.startswith("params/")}
    assert modules == set(re.findall(r"(?:: |, |and )`([\w/]+\.py)`", f": {told}"))


def test_the_page_on_slurm_says_where_the_jobs_of_every_stage_run():
    table = page("docs/slurm.md").split("| stage | where it runs |")[1].split("\n\n")[0]
    named = {word for line in table.splitlines()[1:] for word in re.findall(r"\w+", line.split("|")[1])}
    assert load_pipeline(ROOT / "dvc.yaml", ROOT / "params.yaml").templates.keys() - results().keys() <= named


def test_the_bridges_page_has_its_commands():
    rows = re.findall(r"^\| `snakedvc (\w+)", page("src/snakedvc/README.md"), re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)


def test_the_page_on_the_pipeline_says_how_an_execution_may_end():
    (line,) = re.findall(r"logs/runner\.jsonl +(.*)", page("docs/pipeline.md"))
    assert set(re.split(r", | or ", line.split(": ")[1])) == set(get_args(How))
