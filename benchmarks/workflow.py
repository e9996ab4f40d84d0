"""Time what the bridge adds to a stage: a restore, a run, a plan with nothing to do, and `spectrum status`.

    python benchmarks/workflow.py [--out benchmarks/workflow.csv]

On the toy pipeline of tests/bridge, whose stages take milliseconds, with few and with many seeds, in a temporary
folder.  CPU seconds are those of the command and of all that it started.
"""

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(ROOT / "tests/bridge"))
from bridge_kit import Toy, new_toy  # noqa: E402
from machine import cpu_name  # noqa: E402

RUNNER = [sys.executable, "-m", "workflow.bridge.run"]
SNAKEMAKE = ["snakemake", "--profile", "local"]


def seconds(toy: Toy, *command: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command, which must succeed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    toy.command(*command)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def passes(toy: Toy) -> Iterator[tuple[str, float, float]]:
    """(what, wall seconds, CPU seconds), on a project that never ran."""
    yield "all stages, empty cache", *seconds(toy, *SNAKEMAKE)
    yield "all stages, nothing changed", *seconds(toy, *SNAKEMAKE)
    yield "spectrum status", *seconds(toy, "spectrum", "status")
    yield "one stage, restored", *seconds(toy, *RUNNER, "train@full-1")
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    yield "one stage, run", *seconds(toy, *RUNNER, "train@full-1")
    toy.edit("params.yaml", "steps: 4", "steps: 3")
    for name in ("artifacts", "results", ".snakemake"):
        subprocess.run(["rm", "-r", name], cwd=toy.root, check=True)
    yield "all stages, restored", *seconds(toy, *SNAKEMAKE)
    yield "dvc status, for comparison", *seconds(toy, "dvc", "status")


def main() -> None:
    """Make the projects, time, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/workflow.csv")
    args = parser.parse_args()
    revision = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    rows = []
    for n_seeds in (2, 50):
        with tempfile.TemporaryDirectory(prefix="workflow-") as folder:
            toy = new_toy(Path(folder) / "toy")
            toy.edit("params.yaml", "seeds: [1, 2]", f"seeds: {list(range(1, n_seeds + 1))}")
            n_stages = 4 + 4 * n_seeds
            rows += [[n_stages, what, f"{wall:.2f}", f"{cpu:.2f}"] for what, wall, cpu in passes(toy)]
    with args.out.open("w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["stages", "pass", "wall_seconds", "cpu_seconds", "device", "revision"])
        writer.writerows([*row, cpu_name(), revision] for row in rows)
    print(args.out.read_text())


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
