"""Snakemake on the tests' Slurm: a clone with its site's profile, a driver in the background, stages held still."""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline_kit import Clone, make_clone
from slurm_kit import Cluster, wait_for

PRESET = "slurm-test"
TABLE = "results/table1.csv"
QUICK = Path(__file__).with_name("quick")
COMMAND = ("snakemake", "--profile", "slurm")
# What a user edits for this site: no accounting, and jobs of seconds.
SITE = {
    "# slurm-status-command: squeue": "slurm-status-command: squeue",
    "  # slurm_partition: \"'cpu'\"": "  slurm_partition: \"'calm'\"",
    "--begin=now+{60 * 4": "--begin=now+{1 * 2",
}


def edit_site(clone: Clone, edits: dict[str, str]) -> None:
    """Replace lines of the clone's profile; each must be there once."""
    path = clone.root / "slurm/profile.yaml"
    text = path.read_text()
    for old, new in edits.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)


def slurm_clone(folder: Path) -> Clone:
    """A clone with preset slurm-test, set up for the tests' Slurm."""
    clone = make_clone(folder, PRESET)
    edit_site(clone, SITE)
    return clone


def up_to_training() -> list[str]:
    """The targets that leave nothing but training, its evaluation and the table to do."""
    rules = [f"artifacts/{PRESET}/weights/{method}-b1/rule.json" for method in ("full", "low2high_mid")]
    return [*rules, f"artifacts/{PRESET}/evaluate_base/s1"]


def copy_of(clone: Clone, folder: Path, partition: str = "calm") -> Clone:
    """The clone with all that was made in it, elsewhere; its jobs go to `partition`."""
    shutil.copytree(clone.root, folder, symlinks=True)
    copy = Clone(folder)
    if partition != "calm":
        edit_site(copy, {"\n  slurm_partition: \"'calm'\"": f"\n  slurm_partition: \"'{partition}'\""})
    return copy


def digests(clone: Clone) -> dict[str, str]:
    """SHA-256 of the table and of every Parquet file."""
    files = [clone.root / TABLE, *sorted((clone.root / "artifacts").rglob("*.parquet"))]
    return {str(p.relative_to(clone.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


class Driver:
    """`snakemake --profile slurm results/table1.csv`, word for word, in the background; its output in `said`."""

    def __init__(self, clone: Clone, target: str = TABLE) -> None:
        self._root = clone.root
        self._log = clone.root / f"driver-{len(list(clone.root.glob('driver-*.txt')))}.txt"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        modules = f"{clone.root / 'src'}:{QUICK}"
        env = os.environ | {"PATH": path, "PYTHONPATH": modules, "OMP_NUM_THREADS": "1"}
        with self._log.open("wb") as f:
            self._process = subprocess.Popen(
                [*COMMAND, target],
                cwd=clone.root,
                env=env,
                stdout=f,
                stderr=subprocess.STDOUT,
                # Tests that run in the background inherit an ignored SIGINT; a user's terminal does not.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def said(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """kill -9: its jobs go on."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ctrl-C, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        self._process.wait(300)

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def finish(self, cluster: Cluster, seconds: float = 1800, hurry: bool = True) -> str:
        """Wait for its success; what it printed.  `hurry`: without the delay before a job that is started again."""

        def ended() -> bool:
            if hurry:
                cluster.hurry(self._root)
            return not self.running()

        try:
            wait_for("the driver's end", ended, seconds, every=0.5)
        finally:
            self.kill()
        assert self._process.returncode == 0, f"exit {self._process.returncode}\n{self.said()[-6000:]}"
        return self.said()


class Stage:
    """A training stage that runs somewhere on this machine, found by its progress file."""

    def __init__(self, clone: Clone, addr: str) -> None:
        self.addr = addr
        self._logs = clone.root / f"logs/{addr.partition('@')[0]}/{addr}"

    def progress(self) -> dict[str, int]:
        """`pid` of the stage and steps `done`; nothing while it does not train."""
        try:
            return json.loads((self._logs / "progress.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def hold(self, step: int, meanwhile: Callable[[], None] = lambda: None, seconds: float = 600) -> int:
        """Wait until `step` steps are done and stop the process there; its pid.  `meanwhile`: while it does not run."""
        tried = itertools.count()

        def there() -> int | None:
            now = self.progress()
            if not os.path.exists(f"/proc/{now.get('pid', 0)}"):
                # Not while it runs: this takes its time, in which the stage would go on past its step.
                if next(tried) % 50 == 49:
                    meanwhile()
                return None
            if now["done"] < step:
                return None
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(now["pid"], signal.SIGSTOP)
                return now["pid"]
            return None

        return wait_for(f"{self.addr} at step {step}", there, seconds, every=0.02)

    def resumed(self) -> list[int]:
        """The steps after which it went on from a checkpoint, over all its processes."""
        said = (self._logs / "stage.log").read_text().split("resuming after step ")[1:]
        return [int(line.split()[0]) for line in said]


def has_pending_sigterm(pid: int) -> bool:
    """Whether a held process has been sent SIGTERM."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask & 1 << (signal.SIGTERM - 1) for mask in masks)


def release(pid: int) -> None:
    """Let a held process go on; it may be gone by now."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
