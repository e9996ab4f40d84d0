"""A clone of this working tree in a temporary folder, and Snakemake run in it as a user would."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kit.warm import use

from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.render import render

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Clone:
    """A checkout of its own: own cache, own artifacts, own code.

    warm   the socket of a kit.warm server; None: every program loads its libraries itself
    """

    root: Path
    warm: Path | None = None

    def run(self, *command: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command at the root with this environment's programs and the clone's code; output is captured."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(self.root / "src"), "OMP_NUM_THREADS": "1"} | env
        done = subprocess.run(command, cwd=self.root, env=use(environment, self.warm), capture_output=True, text=True)
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(command)} exited {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-8000:]}"
            )
        return done

    def journal(self) -> list[dict[str, Any]]:
        """The runner's own log: one entry a stage execution."""
        path = self.root / "logs/runner.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def make(self, *targets: str) -> dict[str, str]:
        """`snakemake --profile local TARGETS`; returns {address: ran | restored | ...} of what the runner did."""
        before = len(self.journal())
        self.run("snakemake", "--profile", "local", *(targets or ("results/table1.csv",)))
        return {entry["addr"]: entry["how"] for entry in self.journal()[before:]}

    def ran(self, *targets: str) -> set[str]:
        """Addresses of the stages that really ran (not restored) in one `make`."""
        return {addr for addr, how in self.make(*targets).items() if how == "ran"}

    def params(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Edit params.yaml as data."""
        path = self.root / "params.yaml"
        data = yaml.safe_load(path.read_text())
        edit(data)
        path.write_text(yaml.safe_dump(data, sort_keys=False))

    def append(self, file: str, text: str) -> None:
        """Add text at the end of a file."""
        with (self.root / file).open("a") as f:
            f.write(text)


def make_clone(folder: Path, preset: str, warm: Path | None = None) -> Clone:
    """Copy what git tracks or would track of this working tree, and commit it: DVC wants a git repository."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.check_output(listed, cwd=ROOT, text=True).split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, folder / name
        if not (source.exists() or source.is_symlink()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    (folder / "params.yaml").write_text(render(read_preset(preset, folder / "presets"), ""))
    clone = Clone(folder, warm)
    clone.run("git", "init", "--quiet")
    clone.run("git", "add", "--all")
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
    clone.run("git", *identity, "commit", "--quiet", "--message", "clone")
    return clone


def shrink(data: dict[str, Any]) -> None:
    """Two methods, one replicate, two steps and a barely trained policy: every stage, in seconds."""
    data["methods"] = ["full", "low2high_mid"]
    data |= {"bases": [1], "replicates": [{"seed": 1, "base": 1}]}
    data["policy"]["training"]["steps"] = 12
    data["policy"]["check"] = None
    data["rollouts"] |= {"prompts": 4, "shards": [1, 2]}
    data["train"]["steps"] = 2
    data["train"]["prompts_per_step"] = 4
    data["train"]["mini_batches"] = 2
    data["analysis"]["table1"]["collapse"]["window"] = 1
    for benchmark in data["prompts"]["benchmarks"]:
        benchmark["limit"] = 4
