"""Time the whole of results/table1.csv: from an empty cache, with nothing changed, and after one analysis SQL edit.

    python benchmarks/table1.py [--preset tiny] [--out benchmarks/table1.csv] [--keep FOLDER]

Works in a clone, so the caches of this checkout are neither used nor touched.  It is a temporary one unless --keep says
where.  Writes one CSV row a pass.  Wall seconds depend on what else the machine does, CPU-seconds hardly.  The load is
that of the last minute before the pass.
"""

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
from machine import cpu_name

ROOT = Path(__file__).resolve().parents[1]
QUERY = Path("src/tokenspectrum/results/queries/accuracy.sql")


class Took(NamedTuple):
    """What one pass took, and how busy the machine was before it."""

    wall_s: float
    cpu_s: float
    load: float


def cpu_seconds() -> float:
    """CPU-seconds, user and system, of all ended children of this process and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_table(clone: Path) -> Took:
    """`snakemake --profile local results/table1.csv` in `clone`; a failure ends the benchmark."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(clone / "src")}
    started, cpu, load = time.perf_counter(), cpu_seconds(), os.getloadavg()[0]
    subprocess.run(["snakemake", "--profile", "local", "results/table1.csv"], cwd=clone, env=env, check=True)
    return Took(time.perf_counter() - started, cpu_seconds() - cpu, load)


def passes(clone: Path) -> list[tuple[str, Took]]:
    """Name and cost of the three passes."""
    rows = [("empty cache", make_table(clone)), ("nothing changed", make_table(clone))]
    query = clone / QUERY
    query.write_text(query.read_text() + "\n-- a comment, so that the file differs\n")
    return [*rows, ("one analysis SQL file", make_table(clone))]


def main() -> None:
    """Clone, time, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/table1.csv")
    parser.add_argument("--keep", type=Path, help="folder for the clone, which then stays")
    args = parser.parse_args()
    revision = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    with tempfile.TemporaryDirectory(prefix="table1-") as folder:
        clone = args.keep or Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        subprocess.run(["spectrum", "preset", args.preset, "--force"], cwd=clone, check=True)
        rows = passes(clone)
    with args.out.open("w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["preset", "pass", "wall_seconds", "cpu_seconds", "load", "device", "revision"])
        for name, took in rows:
            figures = [f"{took.wall_s:.1f}", f"{took.cpu_s:.1f}", f"{took.load:.1f}"]
            writer.writerow([args.preset, name, *figures, cpu_name(), revision])
    print(args.out.read_text())


if __name__ == "__main__":
    main()
