"""The long version of tests/slurm/test_slurm_kills.py: each trial hits training jobs at drawn points.

    python benchmarks/slurm_kills.py [--trials 4] [--seed 100] [--out benchmarks/slurm_kills.csv]

As root, on the Slurm that tests/slurm starts; where a Slurm is set up already it refuses.  A trial is one run of
`snakemake --profile slurm results/table1.csv` from everything but training, with a point of each kind.  Rows are
appended, so that it can be run in parts.
"""

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests/slurm"), str(ROOT / "tests/pipeline")]
from machine import cpu_name  # noqa: E402
from pipeline_kit import Clone  # noqa: E402
from slurm_driver import copy_of, digests, slurm_clone, up_to_training  # noqa: E402
from slurm_kit import Cluster, obstacle  # noqa: E402
from slurm_points import KINDS, draw, run_through, settle  # noqa: E402


def trial(cluster: Cluster, clone: Clone, seed: int, reference: dict[str, str]) -> list[dict[str, object]]:
    """One run with all kinds of kills; a row a kill."""
    began, points = time.monotonic(), draw(seed, KINDS)
    driver = run_through(cluster, clone, points)
    settle(cluster, clone, driver)
    made = digests(clone)
    different = sorted(path for path in reference.keys() | made.keys() if reference.get(path) != made.get(path))
    wall = round(time.monotonic() - began, 1)
    return [
        {"seed": seed, "kind": p.kind, "stage": p.addr, "step": p.step}
        | {"files": len(made), "files_that_differ": len(different), "trial_wall_s": wall, "machine": cpu_name()}
        for p in points
    ]


def trials(folder: Path, count: int, seed: int) -> Iterator[list[dict[str, object]]]:
    """The rows of each of `count` trials, on a Slurm that is started for them in `folder`."""
    untrained = slurm_clone(folder / "untrained")
    untrained.make(*up_to_training())
    calm = copy_of(untrained, folder / "calm")
    calm.make()
    reference = digests(calm)
    cluster = Cluster(folder / "slurm")
    cluster.folder.mkdir()
    cluster.start()
    try:
        for one in range(seed, seed + count):
            yield trial(cluster, copy_of(untrained, folder / f"trial-{one}"), one, reference)
    finally:
        cluster.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=4, help="runs, each with one kill of every kind")
    parser.add_argument("--seed", type=int, default=100, help="of the first trial; the next ones follow")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"), help="the CSV")
    args = parser.parse_args()
    if why := obstacle():
        sys.exit(f"error: {why}")
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        for rows in trials(Path(name), args.trials, args.seed):
            new = not args.out.exists()
            with args.out.open("a", newline="") as f:
                writer = csv.DictWriter(f, rows[0])
                if new:
                    writer.writeheader()
                writer.writerows(rows)
            first = rows[0]
            print(f"seed {first['seed']}: {first['files_that_differ']} of {first['files']} files differ", flush=True)


if __name__ == "__main__":
    main()
