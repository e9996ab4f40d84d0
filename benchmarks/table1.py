"""Time the whole of results/table1.csv: from an empty cache, with nothing changed, and after one analysis SQL edit.

    python benchmarks/table1.py [--preset tiny] [--out benchmarks/table1.csv]

Works in a temporary clone, so the caches of this checkout are neither used nor touched.  Writes one CSV row a pass.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from machine import cpu_name

ROOT = Path(__file__).resolve().parents[1]
QUERY = Path("src/tokenspectrum/results/queries/accuracy.sql")


def snakemake_seconds(clone: Path) -> float:
    """Wall seconds of `snakemake --profile local results/table1.csv` in `clone`; a failure ends the benchmark."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(clone / "src")}
    started = time.perf_counter()
    subprocess.run(["snakemake", "--profile", "local", "results/table1.csv"], cwd=clone, env=env, check=True)
    return time.perf_counter() - started


def passes(clone: Path) -> list[tuple[str, float]]:
    """(name, wall seconds) of the three passes."""
    rows = [("empty cache", snakemake_seconds(clone)), ("nothing changed", snakemake_seconds(clone))]
    query = clone / QUERY
    query.write_text(query.read_text() + "\n-- a comment, so that the file differs\n")
    return [*rows, ("one analysis SQL file", snakemake_seconds(clone))]


def main() -> None:
    """Clone, time, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/table1.csv")
    args = parser.parse_args()
    revision = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    with tempfile.TemporaryDirectory(prefix="table1-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        subprocess.run(["spectrum", "preset", args.preset, "--force"], cwd=clone, check=True)
        rows = passes(clone)
    with args.out.open("w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["preset", "pass", "wall_seconds", "device", "revision"])
        writer.writerows([args.preset, name, f"{s:.1f}", cpu_name(), revision] for name, s in rows)
    print(args.out.read_text())


if __name__ == "__main__":
    main()
