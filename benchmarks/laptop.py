"""What the preset laptop's parts cost on one core, each beside the plain way to do the same.

    spectrum preset laptop && snakemake --profile local artifacts/laptop/policy/1 artifacts/laptop/prompts/train
    python benchmarks/laptop.py [--policy artifacts/laptop/policy/1] [--prompts artifacts/laptop/prompts/train]

The parts: sampling beside transformers' `generate`; scoring with the attention of every layer beside a plain forward
pass; a mini-batch's gradient beside a plain forward and backward pass.  A plain pass has all logits at once.  All on
portable arithmetic, which stages use, and again on the libraries' own choice, each in a process of its own.

CPU-seconds, one thread, one pass each: other work on the machine raises them less than wall seconds.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))
from machine import cpu_name

ROOT = Path(__file__).resolve().parents[1]
ARITHMETICS = ("portable", "own")
PROMPTS, SAMPLES, TOKENS, MICRO_BATCH = 2, 4, 64, 4
COLUMNS = [
    "what",
    "arithmetic",
    "tokens",
    "cpu_seconds",
    "tokens_a_cpu_second",
    "times_as_fast",
    "peak_mib",
    "device",
    "revision",
]
# What each part is held against: times_as_fast is the ratio of their rates.
BESIDE = {
    "rollout engine": "transformers generate",
    "scoring, attention of every layer": "forward pass",
    "gradient of a mini-batch": "forward and backward pass",
}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` returns, and its CPU-seconds."""
    started = time.process_time()
    return work(), time.process_time() - started


def measure(arithmetic: str, policy: Path, prompts_at: Path) -> dict[str, Any]:
    """Rows by what was measured, in this process."""
    if arithmetic == "portable":
        import tokenspectrum.portable  # noqa: F401
    import torch
    from transformers import GenerationConfig

    torch.set_num_threads(1)
    if arithmetic == "portable":
        from tokenspectrum.portable.kernels import install

        install()
    from tokenspectrum.policy.load import load_policy
    from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine, left_padded
    from tokenspectrum.rollout.measure import measure_responses
    from tokenspectrum.rollout.padded import lay_out, micro_batches
    from tokenspectrum.rollout.questions import encode_questions, read_questions
    from tokenspectrum.rollout.types import Sampling
    from tokenspectrum.training.backends.local.update import accumulate_gradient
    from tokenspectrum.training.dapo import Clip
    from tokenspectrum.training.record import MiniBatch

    model, tokenizer = load_policy(policy)
    questions = next(iter(read_questions(prompts_at).values()))[:PROMPTS]
    prompts = encode_questions(questions, tokenizer, 384)
    sampling = Sampling(temperature=1.0, top_p=0.95, max_tokens=TOKENS, n=SAMPLES)
    layers = range(model.config.num_hidden_layers)
    rows: dict[str, Any] = {}

    def note(what: str, tokens: int, seconds: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        rows[what] = {"tokens": tokens, "cpu_seconds": seconds, "peak_mib": peak}
        print(arithmetic, what, f"{tokens} tokens, {seconds:.1f} s", file=sys.stderr, flush=True)

    engine = TransformersEngine(model, tokenizer, batch_rows=64)
    responses, seconds = timed(lambda: engine.generate(prompts, sampling, seed=0, step=0))
    note("rollout engine", sum(len(r.token_ids) for r in responses), seconds)

    ids_PT, mask_PT = left_padded([p.token_ids for p in prompts])
    config = GenerationConfig(
        do_sample=True, temperature=1.0, top_p=0.95, top_k=0, max_new_tokens=TOKENS, num_return_sequences=SAMPLES,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip

    def generate() -> Any:
        torch.manual_seed(0)
        with torch.inference_mode():
            return model.generate(input_ids=ids_PT, attention_mask=mask_PT, generation_config=config)

    out, seconds = timed(generate)
    ended_RT = out[:, ids_PT.shape[1] :] == tokenizer.eos_token_id
    note("transformers generate", int((ended_RT.cumsum(1) - ended_RT.long() == 0).sum()), seconds)

    batches = [lay_out(responses, index, model.device) for index in micro_batches(responses, MICRO_BATCH)]
    seen = sum(len(r.prompt_token_ids) + len(r.token_ids) for r in responses)

    def forward() -> None:
        with torch.no_grad():
            for batch in batches:
                model(input_ids=batch.ids_BT, use_cache=False)

    note("forward pass", seen, timed(forward)[1])
    options = {"alignment": "decision", "local_window": 32, "top_k": 64, "fixed_k": 64, "support": True}
    scored, seconds = timed(
        lambda: measure_responses(model, responses, layers=layers, micro_batch=MICRO_BATCH, **options)
    )
    note("scoring, attention of every layer", seen, seconds)

    lengths = [len(r.token_ids) for r in responses]
    advantage_R = torch.tensor([1.0, -1.0] * (len(responses) // 2))
    advantage_N = advantage_R.repeat_interleave(torch.tensor(lengths))

    def gradient() -> None:
        batch = MiniBatch(responses, scored.logprob_N, advantage_N, torch.ones_like(advantage_N), "all")
        accumulate_gradient(model, batch, Clip(0.2, 0.28, 10.0), MICRO_BATCH)

    note("gradient of a mini-batch", seen, timed(gradient)[1])
    model.zero_grad(set_to_none=True)

    def both() -> None:
        for batch in batches:
            logits_NV = model(input_ids=batch.ids_BT, use_cache=False).logits.flatten(0, 1)[batch.queries()]
            logits_NV.log_softmax(-1).gather(1, batch.ids_BT.flatten()[batch.targets()][:, None]).sum().backward()

    note("forward and backward pass", seen, timed(both)[1])
    return rows


def main() -> None:
    """Measure in two processes and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, default=ROOT / "artifacts/laptop/policy/1")
    parser.add_argument("--prompts", type=Path, default=ROOT / "artifacts/laptop/prompts/train")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/laptop.csv")
    parser.add_argument("--arithmetic", choices=ARITHMETICS, help="measure this one here and print JSON")
    args = parser.parse_args()
    if args.arithmetic:
        print(json.dumps(measure(args.arithmetic, args.policy, args.prompts)))
        return
    where = ["--policy", str(args.policy), "--prompts", str(args.prompts)]
    found = {
        arithmetic: json.loads(
            subprocess.check_output([sys.executable, __file__, "--arithmetic", arithmetic, *where], text=True)
        )
        for arithmetic in ARITHMETICS
    }
    revision = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    with args.out.open("w", newline="") as f:
        writer = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for arithmetic, rows in found.items():
            rate = {what: row["tokens"] / row["cpu_seconds"] for what, row in rows.items()}
            for what, row in rows.items():
                told = {"what": what, "arithmetic": arithmetic, "device": cpu_name(), "revision": revision}
                told |= row | {"cpu_seconds": f"{row['cpu_seconds']:.1f}", "tokens_a_cpu_second": f"{rate[what]:.0f}"}
                if what in BESIDE:
                    told["times_as_fast"] = f"{rate[what] / rate[BESIDE[what]]:.2f}"
                writer.writerow(told)
    print(args.out.read_text())


if __name__ == "__main__":
    main()
