"""Seconds a step of plain verl DAPO against those of our trainer on verl, and how much memory a step's log takes.

    snakemake --profile local artifacts/tiny/weights/anchor20-b1/rule.json
    .venv-cluster/bin/python benchmarks/verl_steps.py [--steps 12] [--rounds 2] [--artifacts artifacts/tiny]

Both train the same policy on the same prompts with the same batch sizes, the same vLLM and the same reward, one after
the other, `rounds` times, each under a Ray of its own: verl_driver.py.  A step lasts until the next one begins.
The first step, in which everything is used for the first time, is reported apart.  Ours measures attention and
predictive entropies, weighs, and logs every token.  The driver's memory is worked out for 4,096 responses of 8,192
tokens, not measured.  Writes benchmarks/verl_steps.csv; fails where a median step of ours takes over 5 % more.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from machine import cpu_name

from tokenspectrum.errors import UserError
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.train import TrainParams
from tokenspectrum.params.yaml_file import load_yaml
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.ray.launch import HEARTBEAT, supervise
from tokenspectrum.systems.volume import driver_bytes
from tokenspectrum.tables import attention, tokens
from tokenspectrum.training.backends.verl.trainer import save_job
from tokenspectrum.training.job import TrainJob
from tokenspectrum.weighting.registry import read_rule

ROOT = Path(__file__).resolve().parents[1]
MOST = 1.05
RESPONSES, TOKENS = 4096, 8192


def read_arguments(about: str | None, out: Path) -> argparse.Namespace:
    """How long to measure, of what, and where to: two_nodes.py takes the same."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--method", default="anchor20")
    parser.add_argument("--artifacts", type=Path, default=ROOT / "artifacts/tiny")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--out", type=Path, default=out)
    return parser.parse_args()


def make_job(args: argparse.Namespace, folder: Path) -> TrainJob:
    """The embedded default's training, on verl, so gently that responses stay as long as they are."""
    params = load_yaml(args.params)
    train = params["train"] | {"trainer": "verl", "steps": args.steps, "learning_rate": 1e-6, "keep_steps": []}
    systems = params["systems"] | {"checkpoint_every": args.steps}
    return TrainJob(
        run=args.method,
        seed=1,
        method=args.method,
        preset=args.artifacts.name,
        policy_name="tiny-1",
        rule=read_rule(args.artifacts / f"weights/{args.method}-b1/rule.json"),
        prompts=args.artifacts / "prompts/train",
        policy=args.artifacts / "policy/1",
        out=folder / "out",
        metrics=folder / "metrics",
        checkpoints=folder / "checkpoints",
        train=TrainParams.model_validate_json(json.dumps(train)),
        sampling=SamplingParams.model_validate_json(json.dumps(params["sampling"])),
        reward=RewardParams.model_validate_json(json.dumps(params["reward"])),
        systems=SystemsParams.model_validate_json(json.dumps(systems)),
    )


def time_steps(job: TrainJob, which: str, folder: Path) -> dict:
    """What verl_driver.py measured."""
    job = replace(job, checkpoints=folder / which, out=folder / which / "out", metrics=folder / which / "metrics")
    job.checkpoints.mkdir()
    save_job(job, job.checkpoints / "job.json")
    driver = [sys.executable, str(Path(__file__).with_name("verl_driver.py")), which]
    command = [*driver, str(job.checkpoints / "job.json"), str(job.checkpoints / "times.json")]
    logs = job.checkpoints / "logs"
    try:
        supervise(command, job.systems.verl, job.checkpoints / HEARTBEAT, logs, lambda: False)
    except UserError as e:
        # The folder goes with this process.
        lines = (logs / "driver.log").read_text().splitlines() if (logs / "driver.log").exists() else []
        sys.exit("\n".join([*lines[-40:], f"error: {which}: {e}"]))
    return json.loads((job.checkpoints / "times.json").read_text())


def buffer_gib(job: TrainJob, layers: int) -> float:
    """Of the driver, for a rollout batch of RESPONSES full responses with `layers` layers logged."""
    prompts = RESPONSES // job.sampling.n
    log = job.train.token_log.model_copy(update={"layers": tuple(range(layers))})
    train = job.train.model_copy(update={"prompts_per_step": prompts, "token_log": log})
    sampling = job.sampling.model_copy(update={"max_response_tokens": TOKENS})
    return driver_bytes(train, sampling, tokens.SCHEMA, attention.SCHEMA) / 2**30


def main() -> None:
    args = read_arguments(__doc__, ROOT / "benchmarks/verl_steps.csv")
    found: dict[str, list[dict]] = {"plain": [], "ours": []}
    for _ in range(args.rounds):
        for which, times in found.items():
            with tempfile.TemporaryDirectory(prefix="ts-bench-") as folder:
                job = make_job(args, Path(folder))
                times.append(time_steps(job, which, Path(folder)))
                print(which, times[-1], flush=True)
    steps = {which: [s for one in times for s in one["steps"][1:]] for which, times in found.items()}
    medians = {which: statistics.median(seconds) for which, seconds in steps.items()}
    revision = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    row = {"device": cpu_name(), "revision": revision, "policy": args.artifacts.name, "method": args.method}
    row |= {"rollouts_a_step": job.train.prompts_per_step * job.sampling.n, "steps": args.steps, "rounds": args.rounds}
    for which, times in found.items():
        row[f"{which}_startup_seconds"] = round(statistics.median(one["startup"] for one in times), 1)
        row[f"{which}_first_step_seconds"] = round(statistics.median(one["steps"][0] for one in times), 2)
        row[f"{which}_step_seconds"] = round(medians[which], 3)
        row[f"{which}_response_tokens"] = round(statistics.mean(one["response_tokens"] for one in times), 1)
    row["ours_to_plain"] = round(medians["ours"] / medians["plain"], 3)
    row["log_write_seconds"] = round(statistics.median(w for one in found["ours"] for w in one["writes"]), 3)
    row["log_wait_seconds"] = round(statistics.median(w for one in found["ours"] for w in one["waits"]), 4)
    row |= {f"log_gib_4096x8192_{n}_layers": round(buffer_gib(job, n), 2) for n in (1, 3)}
    with args.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)
    print("\n".join(f"{name}: {value}" for name, value in row.items()))
    if row["ours_to_plain"] > MOST:
        sys.exit(f"a step of ours takes {row['ours_to_plain']} of plain verl's, more than {MOST}")


if __name__ == "__main__":
    main()
