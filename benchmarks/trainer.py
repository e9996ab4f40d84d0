"""Seconds of one training run of the embedded default, and bytes a row of what it logs.

    snakemake --profile local artifacts/tiny/weights/low2high_mid-b1/rule.json
    python benchmarks/trainer.py [--method low2high_mid] [--base 1] [--artifacts artifacts/tiny] [--params params.yaml]

Runs the train stage as the pipeline does, in a temporary folder; the artifacts stay as they are.  Writes one CSV row;
fails where a row of `tokens` takes more than 16 bytes on disk, or one of `attention` more than 20.
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

sys.path.insert(0, str(Path(__file__).parent))

import pyarrow.parquet as pq
from machine import cpu_name

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = {"tokens": 16, "attention": 20}


def train(method: str, base: int, seed: int, artifacts: Path, params: Path, folder: Path) -> dict[str, float]:
    """Run the stage; its wall and CPU seconds, imports and all."""
    words = [sys.executable, "-m", "tokenspectrum.stages.train", "--run", method, "--seed", str(seed)]
    words += ["--prompts", artifacts / "prompts/train", "--policy", artifacts / f"policy/{base}"]
    words += ["--rule", artifacts / f"weights/{method}-b{base}/rule.json", "--out", folder / "out"]
    words += ["--metrics", folder / "metrics", "--preset", artifacts.name, "--policy-name", f"tiny-{base}"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "SNAKEDVC_PARAMS": str(params),
        "SNAKEDVC_LOG_DIR": str(folder / "logs"),
        "SNAKEDVC_CHECKPOINT_DIR": str(folder / "checkpoints"),
    }
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(word) for word in words], env=environment, check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_seconds": round(time.perf_counter() - started, 1), "cpu_seconds": round(cpu, 1)}


def size(root: Path) -> tuple[int, float]:
    """Rows of a table, and its bytes on disk a row."""
    files = list(root.rglob("*.parquet"))
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    return rows, round(sum(file.stat().st_size for file in files) / rows, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="low2high_mid")
    parser.add_argument("--base", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--artifacts", type=Path, default=ROOT / "artifacts/tiny")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/trainer.csv")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        seconds = train(args.method, args.base, args.seed, args.artifacts.resolve(), args.params.resolve(), folder)
        row = {"machine": cpu_name(), "method": args.method, "seed": args.seed, **seconds}
        row["steps"], _ = size(folder / "metrics")
        for table in ("responses", "tokens", "attention"):
            row[f"{table}_rows"], row[f"{table}_bytes_a_row"] = size(folder / "out/tokenlog" / table)
    with args.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    print(", ".join(f"{name} {value}" for name, value in row.items()))
    for table, most in MOST_BYTES.items():
        if row[f"{table}_bytes_a_row"] > most:
            sys.exit(f"{table}: {row[f'{table}_bytes_a_row']} bytes a row, more than {most}")


if __name__ == "__main__":
    main()
