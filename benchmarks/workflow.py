"""Time what the bridge adds: seconds a stage for run, restore and no-op, and the plan of a whole experiment matrix.

    python benchmarks/workflow.py [--stages 10 100 1000] [--no-matrix] [--out benchmarks/workflow.csv]

Stages are the toy pipeline's of tests/bridge, which take milliseconds, with more and more replicates.  The matrix is
this project's own dvc.yaml with the default methods and so many replicates that it has over a thousand stages; its
outputs are placeholders, put into the cache as if the stages had run.  All in temporary folders.  CPU seconds are those
of the command and of all that it started; wall seconds mean little on a machine that others use.  Each project's rows
are appended as it is done, so that it can be run in parts.
"""

import argparse
import csv
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for folder in (Path(__file__).parent, ROOT / "tests/bridge", ROOT / "tests/pipeline", ROOT):
    sys.path.insert(0, str(folder))
from bridge_kit import TWO, Toy, new_toy, replicates  # noqa: E402
from machine import cpu_name  # noqa: E402
from pipeline_kit import make_clone  # noqa: E402

RUNNER = [sys.executable, "-m", "snakedvc.running"]
SNAKEMAKE = ["snakemake", "--profile", "local"]
MATRIX_REPLICATES = 65  # with eight methods, on three base policies: 1,145 stages
Row = tuple[str, int, str, float, float]


def seconds(toy: Toy, *command: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command, which must succeed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    toy.command(*command)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def delete_outputs(root: Path) -> None:
    """All outputs, and Snakemake's memory of them."""
    for name in ("artifacts", "results", ".snakemake"):
        shutil.rmtree(root / name, ignore_errors=True)


def toy_rows(toy: Toy, n_stages: int) -> Iterator[Row]:
    """On a project that never ran."""
    yield "toy", n_stages, "plan, nothing made", *seconds(toy, *SNAKEMAKE, "-n")
    yield "toy", n_stages, "run all", *seconds(toy, *SNAKEMAKE)
    yield "toy", n_stages, "nothing to do", *seconds(toy, *SNAKEMAKE)
    delete_outputs(toy.root)
    yield "toy", n_stages, "restore all, on the driver", *seconds(toy, *SNAKEMAKE)
    yield "toy", n_stages, "one job's runner, restore", *seconds(toy, *RUNNER, "train@full-1")
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    yield "toy", n_stages, "one job's runner, run", *seconds(toy, *RUNNER, "train@full-1")


def pretend_all_ran(root: Path) -> int:
    """Give every stage of the project placeholder outputs, cached and recorded; the number of stages."""
    from snakedvc.dvcfiles.cache import Cache
    from snakedvc.dvcfiles.config import read_config
    from snakedvc.dvcfiles.pipeline import load_pipeline
    from snakedvc.dvcfiles.records import fold, save_fragment
    from snakedvc.dvcfiles.seen import remember, signatures
    from snakedvc.running.inputs import current_record

    back = os.getcwd()
    os.chdir(root)
    try:
        pipeline, cache = load_pipeline(), Cache(read_config().cache_dir)
        for stage in pipeline.topological():
            for out in map(Path, stage.outs):
                file = out if out.suffix else out / "part-0.parquet"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{stage.addr} {out}" * 100)
            found = signatures(stage.outs)
            record = current_record(pipeline, stage).with_outs(cache.store(Path(out)).entry(out) for out in stage.outs)
            cache.save_record(record)
            remember(stage.addr, record.made, found)
            save_fragment(stage.entry, record)
        fold()
        return len(pipeline.stages)
    finally:
        os.chdir(back)


def matrix_rows(folder: Path) -> Iterator[Row]:
    """Plans of the project's own matrix, and the driver's restore of all of it."""
    clone = make_clone(folder, "tiny")
    many = [{"seed": seed, "base": 1 + seed % 3} for seed in range(1, MATRIX_REPLICATES + 1)]
    clone.params(lambda params: params.update(replicates=many))
    clone.run("spectrum", "deps")  # of a tree that is being worked on
    toy, plan = Toy(clone.root), [*SNAKEMAKE, "-n", "results/table1.csv"]
    fresh = seconds(toy, *plan)
    n_stages = pretend_all_ran(clone.root)
    yield "matrix", n_stages, "plan, nothing made", *fresh
    yield "matrix", n_stages, "plan, nothing to do", *seconds(toy, *plan)
    changed = clone.root / "src/tokenspectrum/training/dapo.py"
    text = changed.read_text()
    changed.write_text(text + "\n# changed\n")
    yield "matrix", n_stages, "plan, training changed", *seconds(toy, *plan)
    changed.write_text(text)
    delete_outputs(clone.root)
    yield "matrix", n_stages, "plan, all to be restored", *seconds(toy, *plan)
    yield "matrix", n_stages, "restore all, on the driver", *seconds(toy, *SNAKEMAKE, "results/table1.csv")


def append(path: Path, rows: Iterable[Row], revision: str) -> None:
    """Add rows to the CSV, under a header if it is new."""
    new = not path.exists()
    with path.open("a", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        if new:
            columns = ["pipeline", "stages", "pass", "wall_seconds", "cpu_seconds", "cpu_seconds_a_stage"]
            writer.writerow([*columns, "load", "device", "revision"])
        for pipeline, n, what, wall, cpu in rows:
            share, load = f"{cpu if what.startswith('one') else cpu / n:.3f}", f"{os.getloadavg()[0]:.1f}"
            row = [pipeline, n, what, f"{wall:.2f}", f"{cpu:.2f}", share, load, cpu_name(), revision]
            writer.writerow(row)
            print(*row, flush=True)


def main() -> None:
    """Make the projects, time, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, nargs="*", default=[10, 100, 1000], help="about so many toy stages")
    parser.add_argument("--matrix", action=argparse.BooleanOptionalAction, default=True, help="this project's own DAG")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/workflow.csv")
    args = parser.parse_args()
    revision = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    with tempfile.TemporaryDirectory(prefix="workflow-") as folder:
        for n in args.stages:
            n_replicates = max(2, n // 4 - 1)
            toy = new_toy(Path(folder) / f"toy-{n}")
            toy.edit("params.yaml", TWO, replicates(range(1, n_replicates + 1)))
            append(args.out, toy_rows(toy, 4 + 4 * n_replicates), revision)
        if args.matrix:
            append(args.out, matrix_rows(Path(folder) / "matrix"), revision)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    main()
