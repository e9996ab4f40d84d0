"""Time what the bridge adds: seconds a stage for run, restore and no-op, and the plan of a whole experiment matrix.

    python -m benchmarks.workflow [--stages 10 100 1000] [--no-matrix] [--passes TEXT ...] [--out FILE.csv]

Stages are the toy pipeline's of tests/bridge, which take milliseconds, with more and more replicates.  The matrix is
this project's own dvc.yaml with the default methods and so many replicates that it has over a thousand stages; its
outputs are placeholders (its metrics are made up), put into the cache as if the stages had run.  "Without the bridge"
is a Snakefile of the same stages, deps and commands, with a rule a stage template and no DVC.  All in temporary
folders.
CPU seconds are those of the command and of all that it started; wall seconds mean little on a machine that others use.
A row takes the place of an older one of the same pass, so that it can be run in parts.
"""

import argparse
import csv
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

ROOT = Path(__file__).resolve().parents[1]
for folder in (Path(__file__).parent, ROOT / "tests/bridge", ROOT / "tests/pipeline", ROOT / "tests", ROOT):
    sys.path.insert(0, str(folder))
from bridge_kit import TWO, Toy, new_toy, replicates  # noqa: E402
from pipeline_kit import Clone, make_clone  # noqa: E402

from benchmarks import made_log  # noqa: E402
from benchmarks.machine import cpu_name  # noqa: E402
from benchmarks.raw import revision  # noqa: E402

RUNNER = [sys.executable, "-m", "snakedvc.running"]
SNAKEMAKE = ["snakemake", "--profile", "local"]
EMPTY = ["snakemake", "--snakefile", "empty.smk", "--cores", "2"]
MATRIX_REPLICATES = 65  # with eight methods, on three base policies: 1,145 stages
Row = tuple[str, int, str, float, float]
T = TypeVar("T")


def seconds(toy: Toy, *command: str, check: bool = True) -> tuple[float, float]:
    """Wall and CPU seconds of a command, which must succeed if `check`."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    toy.command(*command, check=check)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def nothing() -> None:
    """Before a pass that needs no edit."""


def delete_outputs(root: Path) -> None:
    """All outputs, and Snakemake's memory of them."""
    for name in ("artifacts", "results", ".snakemake"):
        shutil.rmtree(root / name, ignore_errors=True)


def in_root(root: Path, work: Callable[[], T]) -> T:
    """Do the work with `root` as the working folder."""
    back = os.getcwd()
    os.chdir(root)
    try:
        return work()
    finally:
        os.chdir(back)


def plain(root: Path) -> tuple[str, ...]:
    """The words that run the same stages without the bridge: a marker file a stage, which stands for its outputs."""
    from snakedvc.dvcfiles.load import load_pipeline

    stages = in_root(root, load_pipeline).stages
    makers: dict[str, list] = {}  # of each output and of each folder above one
    for stage in stages.values():
        for out in stage.outs:
            for path in (out, *map(str, Path(out).parents)):
                makers.setdefault(path, []).append(stage)

    def marker(stage) -> str:
        return f"plain/{stage.name}/{stage.addr}"

    def inputs(stage) -> list[str]:
        above = {marker(maker) for dep in stage.deps for maker in makers.get(dep, ())}
        return sorted(above - {marker(stage)})

    (root / "plain.json").write_text(
        json.dumps(
            {s.addr: {"inputs": inputs(s), "cmd": s.cmd.replace("{", "{{").replace("}", "}}")} for s in stages.values()}
        )
    )
    rules = ["import json", "STAGES = json.load(open('plain.json'))", "rule all:"]
    rules += ["    input: [f'plain/{addr.partition(\"@\")[0]}/{addr}' for addr in STAGES]"]
    for name in sorted({stage.name for stage in stages.values()}):
        rules += [f"rule {name}:", "    input: lambda w: STAGES[w.addr]['inputs']"]
        rules += [f"    output: touch('plain/{name}/{{addr}}')", "    params: cmd=lambda w: STAGES[w.addr]['cmd']"]
        rules += ["    shell: 'PYTHONPATH=src {params.cmd}'"]
    (root / "plain.smk").write_text("\n".join(rules) + "\n")
    return ("snakemake", "--snakefile", "plain.smk", "--cores", "2")


def toy_rows(toy: Toy, n_stages: int) -> Iterator[Row]:
    """On a project that never ran."""
    without = plain(toy.root)
    passes = {"plan, without the bridge": (*without, "-n"), "run all, without the bridge": without}
    passes |= {"plan, nothing made": (*SNAKEMAKE, "-n"), "run all": tuple(SNAKEMAKE)}
    found = {}
    for what, command in passes.items():
        found[what] = seconds(toy, *command)
        yield "toy", n_stages, what, *found[what]
        if what == "run all, without the bridge":
            delete_outputs(toy.root)
    ours, theirs = (
        [found[f"run all{of}"][i] - found[f"plan{of or ', nothing made'}"][i] for i in (0, 1)]
        for of in ("", ", without the bridge")
    )
    yield "toy", n_stages, "overhead of a stage", *(a - b for a, b in zip(ours, theirs, strict=True))
    yield "toy", n_stages, "nothing to do", *seconds(toy, *SNAKEMAKE)
    delete_outputs(toy.root)
    yield "toy", n_stages, "restore all, on the driver", *seconds(toy, *SNAKEMAKE)
    yield "toy", n_stages, "one job's runner, restore", *seconds(toy, *RUNNER, "train@full-1")
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    yield "toy", n_stages, "one job's runner, run", *seconds(toy, *RUNNER, "train@full-1")


def placeholder(out: Path, addr: str) -> None:
    """A file or folder in the place of an output; of the main table one that can be shown."""
    file = out if out.suffix else out / "part-0.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    names = ["preset", "policy", "row", "replicates", "Avg", "std", "n", "difference", "bases", "bases_above"]
    table = f"{','.join(names)}\nmade,up,full,1,1,1,1,,1,\n"
    file.write_text(table if str(out) == "results/table1.csv" else f"{addr} {out}" * 100)


def pretend_all_ran(root: Path) -> None:
    """Give every stage of the project placeholder outputs, cached, recorded and noted as a run leaves them."""
    from snakedvc.dvcfiles.cache import Cache
    from snakedvc.dvcfiles.config import read_config
    from snakedvc.dvcfiles.hashes import DepHashes
    from snakedvc.dvcfiles.load import load_pipeline
    from snakedvc.dvcfiles.records import fold, save_fragment
    from snakedvc.dvcfiles.seen import accept, remember, signatures

    def pretend() -> None:
        pipeline, cache = load_pipeline(), Cache(read_config().cache_dir)
        made: dict[str, str] = {}
        hashes = DepHashes(pipeline, made.get, lambda _, md5: cache.listing(md5))
        for stage in pipeline.topological():
            if not all(map(os.path.exists, pipeline.given(stage))):  # of a folder that users fill
                continue
            for out in map(Path, stage.outs):
                if not out.exists():
                    placeholder(out, stage.addr)
            found = signatures(stage.outs)
            record = pipeline.record(stage, hashes.entries(stage))
            record = record.with_outs(cache.store(Path(out)).entry(out) for out in stage.outs)
            made |= {out: md5 for out, md5 in record.made.items() if md5}
            cache.save_record(record)
            remember(stage.addr, record.made, found)
            accept(stage.addr, record.key, record.name, cache.record_path(record.key, record.name))
            save_fragment(stage.entry, record)
        fold()

    in_root(root, pretend)


def least(n: int, toy: Toy, *command: str, before: Callable[[], object] = lambda: None) -> tuple[float, float]:
    """Wall and CPU seconds of the cheapest of `n` times: other programs on the machine make a time longer."""
    times = []
    for _ in range(n):
        before()
        times.append(seconds(toy, *command))
    return min(times, key=lambda one: one[1])


def matrix(folder: Path) -> Clone:
    """A clone of the project with over a thousand stages, and nothing made."""
    clone = make_clone(folder, "tiny")
    many = [{"seed": seed, "base": 1 + seed % 3} for seed in range(1, MATRIX_REPLICATES + 1)]
    clone.params(lambda params: params.update(replicates=many))
    clone.run("spectrum", "deps")  # of a tree that is being worked on
    return clone


def matrix_rows(folder: Path, asked: Callable[[str], bool]) -> Iterator[Row]:
    """Plans of the project's own matrix, and the driver's restore of all of it: the passes that are `asked` for."""
    clone = matrix(folder)
    toy, plan = Toy(clone.root), [*SNAKEMAKE, "-n", "results/table1.csv"]
    from snakedvc.dvcfiles.load import load_pipeline

    n_stages = len(in_root(clone.root, load_pipeline).stages)
    without = (*plain(clone.root), "plain/table1/table1", "-n")
    if asked("plan, nothing made"):
        yield "matrix", n_stages, "plan, nothing made", *least(3, toy, *plan)
        yield "matrix", n_stages, "plan, without the bridge", *least(3, toy, *without)
    for method in yaml.safe_load((clone.root / "params.yaml").read_text())["methods"]:
        for seed in range(1, MATRIX_REPLICATES + 1):
            made_log.write_metrics(clone.root / "artifacts/tiny", 2, method, seed)
    pretend_all_ran(clone.root)
    made: dict[str, tuple[Callable[[], object], int, list[str]]] = {
        "plan, nothing to do": (nothing, 3, plan),
        "nothing to do": (nothing, 3, [*SNAKEMAKE, "results/table1.csv"]),
        "no stage at all": (lambda: (clone.root / "empty.smk").write_text("rule all:\n"), 3, EMPTY),
        "one SQL edit, its result made anew": (
            lambda: clone.append("src/tokenspectrum/results/curves/query.sql", "-- edited\n"),
            3,
            [*SNAKEMAKE, "results/curves.csv"],
        ),
    }
    for what, (before, n, command) in made.items():
        if asked(what):
            yield "matrix", n_stages, what, *least(n, toy, *command, before=before)
    if asked("dvc status"):
        yield "matrix", n_stages, "dvc status", *seconds(toy, "dvc", "status", "--quiet", check=False)
    changed = clone.root / "src/tokenspectrum/training/dapo.py"
    text = changed.read_text()
    changed.write_text(text + "\n# changed\n")
    if asked("plan, training changed"):
        yield "matrix", n_stages, "plan, training changed", *seconds(toy, *plan)
    changed.write_text(text)
    delete_outputs(clone.root)
    if asked("plan, all to be restored"):
        yield "matrix", n_stages, "plan, all to be restored", *seconds(toy, *plan)
    if asked("restore all, on the driver"):
        yield "matrix", n_stages, "restore all, on the driver", *seconds(toy, *SNAKEMAKE, "results/table1.csv")


def append(path: Path, rows: Iterable[Row]) -> None:
    """Add rows to the CSV, each in the place of an older one of the same pass."""
    columns = ["pipeline", "stages", "pass", "wall_seconds", "cpu_seconds", "cpu_seconds_a_stage"]
    columns += ["load", "device", "revision"]
    lines: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
    for pipeline, n, what, wall, cpu in rows:
        share, load = f"{cpu if what.startswith('one') else cpu / n:.3f}", f"{os.getloadavg()[0]:.1f}"
        row = [pipeline, str(n), what, f"{wall:.2f}", f"{cpu:.2f}", share, load, cpu_name(), revision()]
        line = dict(zip(columns, row, strict=True))
        lines = [old for old in lines if place(old) != place(line)] + [line]
        print(*row, flush=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)


def place(line: Mapping[str, str]) -> tuple[str, ...]:
    """What a row is of.  The matrix grows with the project, so its number of stages is left out."""
    stages = "" if line["pipeline"] == "matrix" else line["stages"]
    return line["pipeline"], stages, line["pass"], line["device"]


def main() -> None:
    """Make the projects, time, write."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # Python keeps compiled code for most users
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, nargs="*", default=[10, 100, 1000], help="about so many toy stages")
    parser.add_argument("--matrix", action=argparse.BooleanOptionalAction, default=True, help="this project's own DAG")
    parser.add_argument("--passes", nargs="*", default=[""], help="of the matrix, those whose name holds such a text")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/workflow.csv")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="workflow-") as folder:
        for n in args.stages:
            n_replicates = max(2, n // 4 - 1)
            toy = new_toy(Path(folder) / f"toy-{n}")
            toy.edit("params.yaml", TWO, replicates(range(1, n_replicates + 1)))
            append(args.out, toy_rows(toy, 4 + 4 * n_replicates))
        if args.matrix:
            rows = matrix_rows(Path(folder) / "matrix", lambda what: any(text in what for text in args.passes))
            append(args.out, rows)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    main()
