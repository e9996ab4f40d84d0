"""CPU-seconds of portable arithmetic against the libraries' own choices: the parts of a table1 that take the time.

    snakemake --profile local artifacts/tiny/weights/low2high_mid-b1/rule.json
    python benchmarks/portable.py [--out benchmarks/portable.csv] [--repeats 3] [--artifacts artifacts/tiny]

The two arithmetics take turns, each in a process of its own.  Of the repeats the least counts, because other work on
the machine raises CPU-seconds too.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from machine import cpu_name

ROOT = Path(__file__).resolve().parents[1]
ARITHMETICS = ("own", "portable")
POLICY_STEPS, TRAIN_STEPS, PROMPTS, SAMPLES = 60, 6, 64, 8
METHOD = "low2high_mid"


def train_stage(artifacts: Path, folder: Path) -> None:
    """The first steps of a training run, with its rollouts, statistics, updates and logs."""
    import yaml

    from tokenspectrum.stages.train import main as stage

    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"]["steps"] = TRAIN_STEPS
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    os.environ["SNAKEDVC_PARAMS"] = str(folder / "params.yaml")
    os.environ["SNAKEDVC_LOG_DIR"] = str(folder / "logs")
    words = ["--run", METHOD, "--seed", 1, "--prompts", artifacts / "prompts/train", "--policy", artifacts / "policy/1"]
    words += ["--rule", artifacts / f"weights/{METHOD}-b1/rule.json", "--out", folder / "out"]
    words += ["--metrics", folder / "metrics", "--preset", artifacts.name, "--policy-name", "tiny"]
    stage([str(word) for word in words])


def measure(arithmetic: str, artifacts: Path) -> dict[str, float]:
    """CPU-seconds of each part in this process."""
    if arithmetic == "portable":
        import tokenspectrum.portable  # noqa: F401
    import torch
    import yaml

    torch.set_num_threads(1)
    if arithmetic == "portable":
        from tokenspectrum.portable.kernels import install

        install()
    # `probes` imports the pins: by now the libraries have been loaded without them.
    import numpy as np

    np.dot(np.ones((2, 2)), np.ones((2, 2)))
    _ = torch.ones(2, 2) @ torch.ones(2, 2)
    from tokenspectrum.params.policy import TinyPolicy
    from tokenspectrum.policy.tiny import train_tiny
    from tokenspectrum.policy.tokenizer import build_tokenizer
    from tokenspectrum.portable.probes import dapo_step, questions
    from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
    from tokenspectrum.rollout.measure import measure_responses
    from tokenspectrum.rollout.questions import encode_questions
    from tokenspectrum.rollout.types import Sampling

    section = yaml.safe_load((ROOT / "params.yaml").read_text())["policy"]
    params = TinyPolicy.model_validate_json(json.dumps(section))
    params = params.model_copy(update={"training": params.training.model_copy(update={"steps": POLICY_STEPS})})
    tokenizer, spent = build_tokenizer(), {}

    def clock(name: str, started: float) -> None:
        spent[name] = time.process_time() - started

    started = time.process_time()
    model = train_tiny(params, 1, tokenizer, set())
    clock(f"policy: {POLICY_STEPS} steps", started)
    engine = TransformersEngine(model, tokenizer, batch_rows=1024)
    prompts = encode_questions(questions(PROMPTS), tokenizer, 96)
    started = time.process_time()
    responses = engine.generate(prompts, Sampling(1.0, 0.95, 90, SAMPLES), seed=1, step=0)
    clock(f"rollout: {PROMPTS * SAMPLES} responses", started)
    started = time.process_time()
    scores = measure_responses(model, responses, layers=[1], alignment="decision", local_window=32, micro_batch=64)
    clock("token statistics of these", started)
    started = time.process_time()
    list(dapo_step(model, responses, scores.logprob_N))
    clock("DAPO step on these", started)
    with tempfile.TemporaryDirectory() as temporary:
        started = time.process_time()
        train_stage(artifacts, Path(temporary))
        clock(f"train stage: {TRAIN_STEPS} steps", started)
    return spent


def main() -> None:
    """Measure in turns, write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/portable.csv")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--artifacts", type=Path, default=ROOT / "artifacts/tiny")
    parser.add_argument("--one", choices=ARITHMETICS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.artifacts)))
        return
    best: dict[str, dict[str, float]] = {name: {} for name in ARITHMETICS}
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    for _ in range(args.repeats):
        for name in ARITHMETICS:
            command = [sys.executable, __file__, "--one", name, "--artifacts", str(args.artifacts.resolve())]
            done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
            for part, seconds in json.loads(done.stdout.splitlines()[-1]).items():
                best[name][part] = min(seconds, best[name].get(part, seconds))
    with args.out.open("w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["part", "own_cpu_seconds", "portable_cpu_seconds", "ratio", "device"])
        for part, own in best["own"].items():
            portable = best["portable"][part]
            writer.writerow([part, f"{own:.2f}", f"{portable:.2f}", f"{portable / own:.3f}", cpu_name()])
    print(args.out.read_text())


if __name__ == "__main__":
    main()
