"""A toy project in a temporary folder, a repository as snakedvc's README has it, with a profile of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.warm import use

from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.records import fold, save_fragment
from snakedvc.dvcfiles.store import Store
from snakedvc.running.inputs import current_record

ROOT = Path(__file__).resolve().parents[2]
TOY = Path(__file__).parent / "toy"
TRAIN = {"train@full-1", "train@full-2", "train@anchor-1", "train@anchor-2"}
EVALUATE = {addr.replace("train", "evaluate") for addr in TRAIN}
# dvc.lock calls an item that is a mapping by its place in the list.
ENTRIES = {"source", "weights@full", "weights@anchor", "table"} | {
    f"{stage}@{run}-replicate{i}" for stage in ("train", "evaluate") for run in ("full", "anchor") for i in (0, 1)
}
ALL = {"source", "weights@full", "weights@anchor", "table"} | TRAIN | EVALUATE


def replicates(seeds: Sequence[int]) -> str:
    """The line of the toy's params with these replicates."""
    items = [f"{{half: {'ab'[i % 2]}, seed: {seed}}}" for i, seed in enumerate(seeds)]
    return f"replicates: [{', '.join(items)}]"


TWO, THREE = replicates([1, 2]), replicates([1, 2, 3])


@dataclass(frozen=True)
class Toy:
    """One project of its own: own cache, own artifacts, own code.

    warm   the socket of a kit.warm server: Snakemake begins there, where the test waits for its end
    """

    root: Path
    warm: Path | None = None

    def environment(self, **env: str) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"DVC_SITE_CACHE_DIR": str(self.root / ".site"), "DVC_NO_ANALYTICS": "1"}
        return os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"} | own | env

    def command(self, *command: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command at the root; with `check`, it must succeed."""
        environment = self.environment(**env)
        if command[0] == "snakemake" and not env:
            environment = use(environment, self.warm)
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{command} exited {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def start(self, addr: str, **env: str) -> subprocess.Popen[str]:
        """Start the runner on one stage and do not wait."""
        command = [sys.executable, "-m", "snakedvc.running", addr]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.root, env=self.environment(**env), stderr=pipe, text=True)

    def run(self, addr: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """The runner on one stage."""
        return self.command(sys.executable, "-m", "snakedvc.running", addr, check=check, **env)

    def snakedvc(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.command(sys.executable, "-m", "snakedvc", *args, check=check, COLUMNS="200")

    def journal(self) -> list[dict]:
        path = self.root / "logs/runner.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def make(self, *targets: str, **env: str) -> dict[str, str]:
        """`snakemake --profile local`; what the runner did, by address."""
        before = len(self.journal())
        self.command("snakemake", "--profile", "local", *targets, **env)
        return {entry["addr"]: entry["how"] for entry in self.journal()[before:]}

    def ran(self, *targets: str) -> set[str]:
        """Addresses that really ran in one `make`."""
        return {addr for addr, how in self.make(*targets).items() if how == "ran"}

    def last(self) -> tuple[str, str]:
        entry = self.journal()[-1]
        return entry["addr"], entry["how"]

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace `old` by `new` in a file; it must be there."""
        path = self.root / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def text(self, file: str) -> str:
        return (self.root / file).read_text()

    def outputs(self) -> dict[str, bytes]:
        """Every output file's bytes, by path."""
        found = [p for top in ("artifacts", "results") for p in (self.root / top).rglob("*") if p.is_file()]
        return {str(p.relative_to(self.root)): p.read_bytes() for p in found if p.name != ".snakemake_timestamp"}

    def objects(self) -> list[Path]:
        """Every object in the cache."""
        return [p for p in (self.root / ".dvc/cache/files").rglob("*") if p.is_file()]

    def copy(self, root: Path) -> "Toy":
        """All of this project elsewhere, with modification times and Snakemake's memory."""
        shutil.copytree(self.root, root, symlinks=True)
        return Toy(root, self.warm)

    def clone(self, root: Path) -> "Toy":
        """What Git would clone: no cache, no outputs, no logs."""
        ignored = shutil.ignore_patterns("artifacts", "results", "logs", ".snakemake", "cache", "tmp", ".ckpt", ".site")
        shutil.copytree(self.root, root, symlinks=True, ignore=ignored)
        return Toy(root, self.warm)


def new_toy(root: Path, warm: Path | None = None) -> Toy:
    """The toy project, never run, its code deps written."""
    shutil.copytree(TOY, root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".dvc").mkdir()
    (root / ".dvc/config").touch()
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    toy = Toy(root, warm)
    toy.command("git", "init", "-q")
    (root / ".gitignore").write_text("artifacts/\nresults/\nlogs/\n.snakemake/\n.ckpt/\n.site/\n__pycache__/\n")
    toy.snakedvc("deps")
    return toy


def pretend() -> None:
    """Leave a result of every stage whose result is not known, as running it would: the file says its key."""
    pipeline, store = load_pipeline(), Store()
    for stage in pipeline.topological():
        wanted = current_record(pipeline, stage)
        if next(store.here(wanted, stage), None):
            continue
        for out in map(Path, stage.outs):
            file = out if out.suffix else out / "made.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{out} {wanted.key}")
        record = wanted.with_outs(store.cache.store(Path(out)).entry(out) for out in stage.outs)
        store.cache.save_record(record)
        save_fragment(stage.entry, record)
    fold()
