"""A small project of its own, the driver that makes its table, and the bytes that it must make.

Knows Snakemake's command and /proc.  Knows no hazard.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline_kit import Clone, make_clone, shrink

TABLE = "results/table1.csv"
PROBE = "artifacts/tiny/rollouts/1"
# All that a run leaves.  Without it, the project was never run.
MADE = ("artifacts", "results", "logs", ".snakemake", ".ckpt", ".dvc/cache", ".dvc/tmp", "dvc.lock")
# What the processes of a run are called in their command lines.
PROCESSES = {
    "runner": r"-m snakedvc\.running (?P<where>\S+)",
    "stage": r"-m tokenspectrum\.stages\.(?P<where>\S+)",
    "worker": r"(?P<where>alternative_worker)\.py",
}


@dataclass(frozen=True)
class Row:
    """One hazard: what happened, where, under which seed, how it ended, and whether anything was lost."""

    what: str
    where: str
    seed: int
    outcome: str
    lost: int


@dataclass(frozen=True)
class Project(Clone):
    """A checkout of its own, and the output that its driver is asked for."""

    target: str = TABLE


def small_project(folder: Path, target: str = TABLE) -> Project:
    """A checkout whose preset makes every stage in seconds: two methods, two steps, parts of one prompt."""
    clone = make_clone(folder, "tiny")
    clone.params(shrink)
    clone.params(lambda params: params["systems"].update(generate_batch=8, micro_batch=8, checkpoint_every=1))
    clone.run("spectrum", "deps")  # of a tree that is being worked on
    return Project(clone.root, target=target)


def clear(clone: Project) -> None:
    """Back to a project that was never run."""
    for name in MADE:
        path = clone.root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def copy_of(clone: Project, folder: Path) -> Project:
    """The project with all that was made in it."""
    shutil.copytree(clone.root, folder, symlinks=True)
    return Project(folder, target=clone.target)


def digests(clone: Project) -> dict[str, str]:
    """Every output by its sha256."""
    files = [p for top in ("artifacts", "results") for p in (clone.root / top).rglob("*") if p.is_file()]
    return {
        str(p.relative_to(clone.root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in files
        if p.name != ".snakemake_timestamp"
    }


def difference(clone: Project, reference: dict[str, str]) -> str:
    """What is not as in an uninterrupted run: outputs of other bytes, and stages that ran again after they had run."""
    made = digests(clone)
    wrong = sorted(p for p in made.keys() | reference.keys() if made.get(p) != reference.get(p))
    ran = Counter(entry["key"] for entry in clone.journal() if entry["how"] == "ran")
    again = sorted({e["addr"] for e in clone.journal() if e["how"] == "ran" and ran[e["key"]] > 1})
    left = sorted(p.parent.name for p in (clone.root / ".ckpt").glob("*/*"))
    found = {"other bytes": wrong, "ran twice": again, "checkpoints left": left}
    return "; ".join(f"{what}: {', '.join(names[:3])}" for what, names in found.items() if names)


class Driver:
    """`snakemake --profile local TARGET` in the background."""

    def __init__(self, clone: Project, logs: Path | None = None) -> None:
        """`logs`: the folder for what it prints, if that is not beside the project."""
        self.log = (logs or clone.root.parent) / f"{clone.root.name}-driver-{time.time_ns()}.txt"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = os.environ | {"PATH": path, "PYTHONPATH": str(clone.root / "src"), "OMP_NUM_THREADS": "1"}
        with self.log.open("wb") as f:
            self.process = subprocess.Popen(
                ["snakemake", "--profile", "local", clone.target],
                cwd=clone.root,
                env=env,
                stdout=f,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self, seconds: float = 300) -> int:
        """Its exit code."""
        return self.process.wait(seconds)


def processes(clone: Project, kind: str) -> list[tuple[int, str]]:
    """(pid, where) of the live processes of a kind that work in the project, oldest first."""
    found = []
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda p: int(p.name)):
        with contextlib.suppress(OSError):  # ended meanwhile
            words = (folder / "cmdline").read_bytes().split(b"\0")
            match = re.search(PROCESSES[kind], b" ".join(words).decode(errors="replace"))
            is_python = b"python" in os.path.basename(words[0])
            if match and is_python and (folder / "cwd").resolve() == clone.root.resolve():
                found.append((int(folder.name), match["where"]))
    return found


def finish(clone: Project, tries: int = 4, logs: Path | None = None) -> str:
    """Run the command until it succeeds, and wait for what a killed driver has left; the complaint if it never does."""
    for _ in range(tries):
        driver = Driver(clone, logs)
        if driver.wait() == 0:
            return ""
    return f"does not come to its end: {last_line(driver.said())}"


def last_line(text: str) -> str:
    """The line that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1][:200]
