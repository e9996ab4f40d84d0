"""What a driver plans and does in the toy project, and damage to its caches."""

import re
import shutil
import subprocess
from pathlib import Path

from bridge_kit import Toy

DRIVER = ("snakemake", "--profile", "local")
SCORE = "artifacts/t/evaluate/full-s1"
BRANCH = {"source", "weights@full", "train@full-1", "evaluate@full-1"}


def jobs(text: str) -> dict[str, int]:
    """Jobs by rule in Snakemake's table, without rule all."""
    return {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", text, re.M) if name not in ("all", "total")}


def plan(toy: Toy, *targets: str) -> tuple[dict[str, int], str]:
    """The jobs of a dry run, and what it printed."""
    done = toy.command(*DRIVER, "-n", *targets)
    return jobs(done.stdout + done.stderr), done.stdout + done.stderr


def drive(toy: Toy, *targets: str) -> tuple[dict[str, int], dict[str, str], str]:
    """A real run: its jobs, what the runner and the driver did by address, and what was printed."""
    before = len(toy.journal())
    done = toy.command(*DRIVER, *targets)
    text = done.stdout + done.stderr
    return jobs(text), {e["addr"]: e["how"] for e in toy.journal()[before:]}, text


def snapshot(root: Path) -> dict[str, bytes]:
    """Every file of the project but Snakemake's own."""
    files = [p for p in root.rglob("*") if p.is_file() and ".snakemake" not in p.parts and "__pycache__" not in p.parts]
    return {str(p.relative_to(root)): p.read_bytes() for p in files if ".git" not in p.parts}


def without_outputs(toy: Toy) -> None:
    for name in ("artifacts", "results"):
        shutil.rmtree(toy.root / name)


def rot(store: Path, content: bytes) -> None:
    """Give the one object with this content, in a cache or remote, other bytes."""
    (path,) = [p for p in (store / "files").rglob("*") if p.is_file() and p.read_bytes() == content]
    path.chmod(0o644)
    path.write_bytes(b"rotten")


def with_remote(toy: Toy, folder: Path) -> Toy:
    # As `dvc remote add -d store FOLDER` writes it, which takes a second.
    with (toy.root / ".dvc/config").open("a") as f:
        f.write(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {folder}\n")
    toy.snakedvc("push")
    return toy


def start(toy: Toy, *targets: str) -> subprocess.Popen:
    pipe = subprocess.PIPE
    return subprocess.Popen([*DRIVER, *targets], cwd=toy.root, env=toy.environment(), stderr=pipe, text=True)
