"""What a Slurm job costs beyond its stage: seconds of CPU and of wall time of jobs whose stage does nothing.

    python benchmarks/slurm.py [--jobs 5] [--out benchmarks/slurm.csv]

As root, on the Slurm that tests/slurm starts, in a temporary folder; where a Slurm is set up already it refuses.  The
stage is `policy` with a module that makes empty files.  CPU: user and system seconds of the batch shell and all that
it waited for.  Wall: from the batch shell's start to its end.
"""

import argparse
import csv
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests/slurm"), str(ROOT / "tests/pipeline")]
from machine import cpu_name  # noqa: E402
from pipeline_kit import Clone  # noqa: E402
from slurm_driver import PRESET, Driver, slurm_clone  # noqa: E402
from slurm_kit import Cluster, obstacle  # noqa: E402

OUT = f"artifacts/{PRESET}/policy_report/{{base}}.json"
STAGE = f"""
import sys
from pathlib import Path

base = sys.argv[sys.argv.index("--base") + 1]
for name in (f"policy/{{base}}/f", f"vocab/{{base}}/f", f"policy_report/{{base}}.json"):
    path = Path("artifacts/{PRESET}") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
"""


def prepare(clone: Clone) -> None:
    """Have stage policy do nothing, and the guard write down when it ran and what it took."""
    (clone.root / "src/tokenspectrum/stages/policy.py").write_text(STAGE)
    clone.run("spectrum", "deps")
    guard = clone.root / "slurm/job.sh"
    text = guard.read_text().replace("    trap 'kill", '    date +%s.%N >"took-$SLURM_JOB_ID"\n    trap \'kill', 1)
    took = "{ date +%s.%N; times; }"
    guard.write_text(text.replace('    exit "$status"', f'    {took} >>"took-$SLURM_JOB_ID"\n    exit "$status"', 1))


def measure(path: Path) -> tuple[float, float]:
    """(CPU, wall) from what the guard wrote: start, end, and the shell's `times` (its own, its children's)."""
    start, end, *times = path.read_text().split()
    minutes = [re.fullmatch(r"(\d+)m([\d.]+)s", t) for t in times]
    return sum(int(m[1]) * 60 + float(m[2]) for m in minutes if m), float(end) - float(start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=5, help="how many")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"), help="the CSV")
    args = parser.parse_args()
    if why := obstacle():
        sys.exit(f"error: {why}")
    rows = []
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder) / "slurm")
        cluster.folder.mkdir()
        cluster.start()
        try:
            clone = slurm_clone(Path(folder) / "clone")
            prepare(clone)
            jobs = range(1, args.jobs + 1)
            replicates = [{"seed": n, "base": n} for n in jobs]
            clone.params(lambda data: data.update(bases=list(jobs), replicates=replicates))
            for n in jobs:
                Driver(clone, OUT.format(base=n)).finish(cluster)
                (took,) = clone.root.glob("took-*")
                cpu, wall = measure(took)
                took.unlink()
                rows.append({"job": n, "cpu_s": f"{cpu:.2f}", "wall_s": f"{wall:.2f}", "machine": cpu_name()})
                print(rows[-1], flush=True)
        finally:
            cluster.stop()
    with args.out.open("w", newline="") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
