"""Nothing is lost: kills, full disks, flipped bytes, several drivers, a read-only cache, a clock that goes back.

    python benchmarks/reliability.py [--quick] [--seed 1] [--only kills worker disk flips drivers cache slurm clock]

As root: disks are made full on a small tmpfs, and a cache read-only by a mount of its own.  Each hazard hits a small
preset in a temporary folder, on this machine's CPUs.  Afterwards the same command is started again until it succeeds.
A row says what was done where, under which seed, how it ended, and whether anything was lost: 1 if an output has other
bytes than an uninterrupted run's, or if a stage that had finished ran again.  Rows are appended, so that it can be run
in parts.
"""

import argparse
import csv
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for folder in (Path(__file__).parent, ROOT / "tests", ROOT / "tests/pipeline", ROOT / "tests/slurm"):
    sys.path.insert(0, str(folder))
from hazards.disk import full_disk  # noqa: E402
from hazards.flips import flips  # noqa: E402
from hazards.kills import kills, worker_kills  # noqa: E402
from hazards.others import clock_back, drivers, read_only_cache  # noqa: E402
from hazards.project import PROBE, TABLE, Project, Row, digests, small_project  # noqa: E402
from hazards.slurm import slurm_kills  # noqa: E402
from machine import cpu_name  # noqa: E402


@dataclass(frozen=True)
class Bench:
    """A project that has come to its end, its bytes, a folder for others, and how much to do."""

    whole: Project
    reference: dict[str, str]
    folder: Path
    quick: bool
    seed: int

    def some(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def fresh(self, name: str) -> Project:
        return small_project(self.folder / name, self.whole.target)


HAZARDS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "kills": lambda b: kills(b.fresh("kills"), b.reference, b.some(100, 3), b.seed),
    "worker": lambda b: worker_kills(b.some(10, 2), b.seed),
    "disk": lambda b: full_disk(b.fresh("to-fill"), b.folder / "disk", b.reference, b.some(30, 1), b.seed),
    "flips": lambda b: flips(b.whole, b.folder, b.reference, b.some(20, 2), b.seed),
    "drivers": lambda b: drivers(b.whole, b.folder, b.reference, [2] if b.quick else [2, 4], b.seed),
    "cache": lambda b: read_only_cache(b.whole, b.folder, b.reference, b.seed),
    "slurm": lambda b: slurm_kills(b.folder / "slurm", b.some(4, 1), b.seed),
    "clock": lambda b: clock_back(b.whole, b.folder, b.reference, b.seed),
}


def append(path: Path, row: Row) -> None:
    """Add a row to the CSV, under a header if it is new."""
    new = not path.exists()
    with path.open("a", newline="") as f:
        writer = csv.DictWriter(f, [*asdict(row), "machine"], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(asdict(row) | {"machine": cpu_name()})


def _cpu() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(argv: list[str] | None = None) -> int:
    """Run the hazards; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few of each kind, and only up to the probe")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn")
    parser.add_argument("--only", nargs="+", choices=list(HAZARDS), default=list(HAZARDS), help="these hazards alone")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"), help="the CSV")
    args = parser.parse_args(argv)
    lost = 0
    with tempfile.TemporaryDirectory(prefix="reliability-") as name:
        folder = Path(name)
        whole = small_project(folder / "whole", PROBE if args.quick else TABLE)
        whole.make(whole.target)
        bench = Bench(whole, digests(whole), folder, args.quick, args.seed)
        for hazard in args.only:
            began, cpu = time.monotonic(), _cpu()
            for found in HAZARDS[hazard](bench):
                # A row names no folder of this machine.
                row = replace(found, outcome=re.sub(rf"{re.escape(name)}/[\w-]+", "PROJECT", found.outcome))
                append(args.out, row)
                lost += row.lost
                print(*asdict(row).values(), sep=" | ", flush=True)
            print(f"{hazard}: {time.monotonic() - began:.0f} s, {_cpu() - cpu:.0f} s of CPU", flush=True)
    print(f"{lost} lost", flush=True)
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
