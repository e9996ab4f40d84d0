"""Base policies of five seeds: CPU-seconds, mean@k on each stand-in benchmark, and whether the check passes.

    python benchmarks/policy.py [--preset tiny] [--seeds 0 1 2 3 4] [--out benchmarks/policy.csv]

Runs the prompts stage once and the policy stage once a seed, each in a process of its own on one thread, in a
temporary folder.  The ranges of policy.check are opened for the runs, so that a seed that misses them is measured too,
and its row says what it missed.  CPU-seconds are of the whole stage: imports, training, sampling for the check, saving.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))
from machine import cpu_name

from tokenspectrum.params.base import PARAMS_ENV, parse_section
from tokenspectrum.params.policy import PolicyParams
from tokenspectrum.params.presets import read_preset
from tokenspectrum.policy.check import problems_with

ROOT = Path(__file__).resolve().parents[1]


def stage_seconds(name: str, params: Path, *flags: str) -> float:
    """CPU-seconds of one stage in a process of its own; a failure ends the benchmark."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = os.environ | {"OMP_NUM_THREADS": "1", PARAMS_ENV: str(params)}
    subprocess.run([sys.executable, "-m", f"tokenspectrum.stages.{name}", *flags], env=env, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def opened(policy: dict[str, Any]) -> dict[str, Any]:
    """The policy section with a check that nothing can miss."""
    ranges = [r | {"low": 0, "high": 1} for r in policy["check"]["ranges"]]
    check = policy["check"] | {"ranges": ranges, "min_gap": -1.0, "guess_floor": 0.0, "floor_errors": 0.0}
    return policy | {"check": check}


def measure(params: dict[str, Any], seeds: list[int], folder: Path) -> list[dict[str, Any]]:
    """A row for each seed."""
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump(params))
    check = parse_section(file, params, "policy", PolicyParams).root.check
    stage_seconds("prompts", file, "--out", str(folder / "prompts"))
    rows = []
    file.write_text(yaml.safe_dump(params | {"policy": opened(params["policy"])}))
    for seed in seeds:
        out = folder / str(seed)
        flags = {"benchmarks": folder / "prompts/benchmarks", "out": out / "policy", "vocab": out / "vocab"}
        flags |= {"report": out / "report.json", "base": seed}
        seconds = stage_seconds("policy", file, *(part for k, v in flags.items() for part in (f"--{k}", str(v))))
        report = json.loads(flags["report"].read_text())
        scores = {name: (s["mean"], s["error"]) for name in check.benchmarks for s in [report["benchmarks"][name]]}
        row = {"seed": seed, "cpu_seconds": f"{seconds:.1f}", "parameters": report["parameters"]}
        row |= {"steps": params["policy"]["training"]["steps"], "loss": f"{report['loss']:.4f}"}
        for name, (mean, error) in scores.items():
            row |= {name: f"{100 * mean:.1f}", f"{name}_se": f"{100 * error:.1f}"}
        missed = "; ".join(problems_with(check, scores)) or "passes"
        rows.append(row | {"check": missed, "device": cpu_name()})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/policy.csv")
    args = parser.parse_args()
    params = read_preset(args.preset, ROOT / "presets").data
    with tempfile.TemporaryDirectory(prefix="policy-") as folder:
        rows = measure(params, args.seeds, Path(folder))
    with args.out.open("w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
