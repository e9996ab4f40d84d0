"""Write down what happened, beside the results: one line for each stage execution, and the provenance of each run.

Nothing here is an output or a dep, because times, hosts and versions must not decide whether two results are equal.
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from snakedvc.dvcfiles.records import write_atomically
from snakedvc.running.machine import machine
from snakedvc.settings import load_settings

RUNNER_LOG = Path("logs/runner.jsonl")
PROVENANCE = "provenance.json"  # in a stage's folder of logs
How = Literal["ran", "restored", "superseded", "refused", "failed", "stopped", "interrupted", "accepted"]


def note(addr: str, how: How, key: str | None, seconds: float) -> None:
    """Append one line to logs/runner.jsonl.  It is one write, so that lines of parallel runs do not mix."""
    RUNNER_LOG.parent.mkdir(parents=True, exist_ok=True)
    entry = {"addr": addr, "how": how, "key": key, "seconds": round(seconds, 3), "at": int(time.time())}
    line = json.dumps(entry | {"driver": os.getppid()})  # Snakemake's process, where it is this host's
    with RUNNER_LOG.open("a") as f:
        f.write(line + "\n")


def revision() -> str | None:
    """Git revision of the tree, with "-dirty" if tracked files differ; None outside Git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def versions(libraries: Iterable[str]) -> dict[str, str | None]:
    """Python's version and those of `libraries`; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in libraries:
        found[name] = None
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def write_provenance(
    folder: Path, key: str, started: float, *, systems: Mapping[str, Any], systems_code: Mapping[str, str]
) -> None:
    """Write logs/<stage>/<addr>/provenance.json of a run that has just ended, with its inputs that are in no key."""
    provenance = {
        "key": key,
        "git": revision(),
        "versions": versions(load_settings().libraries),
        **machine(),
        "devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "wall_seconds": round(time.time() - started, 3),
        "systems": dict(systems),
        "systems_code": dict(systems_code),
    }
    write_atomically(folder / PROVENANCE, json.dumps(provenance, indent=1))
