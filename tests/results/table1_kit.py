"""Table 1 made through its stage, and runs with planted scores for it."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from results_fixtures import save_params, write_metrics, write_scores

from tokenspectrum.stages import result
from tokenspectrum.tokenlog.writer import write_manifest

CSV, JSON, MD = Path("results/table1.csv"), Path("results/table1.json"), Path("results/table1.md")


def make(artifacts, params) -> tuple[list[dict], str]:
    save_params(params)
    folders = ["--evaluate", "evaluate", "--evaluate_base", "evaluate_base", "--metrics", "metrics"]
    flags = [f if f.startswith("--") else str(artifacts / f) for f in folders]
    result.main(
        ["tokenspectrum.results.table1.result", *flags, "--csv", str(CSV), "--json", str(JSON), "--md", str(MD)]
    )
    with CSV.open() as f:
        # Stand-ins are marked in the heading; the tests go by the bare names.
        rows = [{k.removesuffix(" (stand-in)"): v for k, v in row.items()} for row in csv.DictReader(f)]
    return rows, MD.read_text()


def by_key(rows):
    return {(row["method"], row["replicates"]): row for row in rows}


def accuracies(folder) -> dict[str, float]:
    """Benchmark -> accuracy by plain loops: mean over samples of a problem, then over problems."""
    out = {}
    for path in folder.rglob("*.parquet"):
        problems: dict[str, list[int]] = {}
        for row in pq.ParquetFile(path).read().to_pylist():
            problems.setdefault(row["prompt_id"], []).append(int(row["correct"]))
        means = [sum(x) / len(x) for x in problems.values()]
        out[path.stem] = 100 * sum(means) / len(means)
    return out


def set_scores(artifacts, method, seed, right, step=4):
    folder = artifacts / "evaluate" / f"{method}-s{seed}"
    write_scores(folder, method, seed, step, right)
    write_manifest(folder)


def set_run(artifacts, method, seed, right):
    """The scores of one training, or of the base policy, and metrics that do not collapse."""
    if method == "base":
        folder = artifacts / f"evaluate_base/s{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        write_scores(folder, "base", seed, 0, right)
        write_manifest(folder)
        return
    shutil.rmtree(artifacts / f"evaluate/{method}-s{seed}", ignore_errors=True)
    set_scores(artifacts, method, seed, right)
    if not (metrics := artifacts / f"metrics/{method}-s{seed}").exists():
        write_metrics(metrics, method, seed, [10.0] * 4, [0.0] * 4)


def plant(artifacts, params, bases, easy):
    """Runs of seeds 1, 2, ... on `bases`; `easy[method][i]` of the 24 samples on easy are right, and 10 of hard's 20.

    A sample of easy is 100 / 24 / 2 points of Avg.  Right ones are dealt to its six problems in turn, so that a
    difference of 3 samples or more is beyond the noise of problems.
    """
    params["replicates"] = [{"seed": seed, "base": base} for seed, base in enumerate(bases, 1)]
    params["methods"] = [method for method in easy if method != "base"]
    params["rules"] |= {method: {"kind": "uniform"} for method in params["methods"]}
    hard = np.arange(20).reshape(5, 4) < 10
    for method, counts in easy.items():
        for seed, count in enumerate(counts, 1):
            set_run(artifacts, method, seed, {"easy": count > np.arange(24).reshape(4, 6).T, "hard": hard})


def collapse(artifacts, method, seed):
    """Metrics of a run whose responses become short."""
    metrics = artifacts / f"metrics/{method}-s{seed}"
    shutil.rmtree(metrics)
    write_metrics(metrics, method, seed, [10.0, 10.0, 4.0, 4.0], [0.0] * 4)
