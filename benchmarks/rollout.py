"""Tokens a second of rollouts and of their scoring, one thread, for a policy and its training prompts.

    snakemake --profile local artifacts/tiny/policy/1 artifacts/tiny/prompts/train
    python benchmarks/rollout.py [--policy artifacts/tiny/policy/1] [--prompts artifacts/tiny/prompts/train]

Compares the engine with transformers' own `generate` on the same prompts and sampling; a pass is 16 prompts x 8
responses, the size of a training step of the tiny preset.  Writes one CSV row a kind of pass: the pass of median rate,
in wall seconds.
"""

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import torch
from machine import cpu_name
from transformers import GenerationConfig

from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine, left_padded
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.questions import encode_questions, read_questions
from tokenspectrum.rollout.types import Prompt, Sampling

ROOT = Path(__file__).resolve().parents[1]
SAMPLING = Sampling(temperature=1.0, top_p=0.95, max_tokens=90, n=8)
PROMPTS, WARM_UPS = 16, 2


def timed(work: Callable[[int], tuple[int, int]], passes: int) -> tuple[int, int, float]:
    """(responses, tokens, seconds) of the pass of median rate; `work(pass)` returns responses and tokens."""
    found = []
    for i in range(WARM_UPS + passes):
        started = time.perf_counter()
        counts = work(i)
        found.append((*counts, time.perf_counter() - started))
    return sorted(found[WARM_UPS:], key=lambda row: row[1] / row[2])[passes // 2]


def hf_generate(model, tokenizer, prompts: list[Prompt], seed: int) -> tuple[int, int]:
    """The same sampling by transformers' generate."""
    torch.manual_seed(seed)
    ids_PT, mask_PT = left_padded([p.token_ids for p in prompts])
    config = GenerationConfig(
        do_sample=True,
        temperature=SAMPLING.temperature,
        top_p=SAMPLING.top_p,
        top_k=0,
        max_new_tokens=SAMPLING.max_tokens,
        num_return_sequences=SAMPLING.n,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.inference_mode():
        out = model.generate(input_ids=ids_PT, attention_mask=mask_PT, generation_config=config)[:, ids_PT.shape[1] :]
    ended = (out == tokenizer.eos_token_id).cumsum(1)
    return len(out), int((ended - (out == tokenizer.eos_token_id).long() == 0).sum())


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, default=ROOT / "artifacts/tiny/policy/1")
    parser.add_argument("--prompts", type=Path, default=ROOT / "artifacts/tiny/prompts/train")
    parser.add_argument("--passes", type=int, default=9)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/rollout.csv")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load_policy(args.policy)
    questions = next(iter(read_questions(args.prompts).values()))
    prompts = encode_questions(questions, tokenizer, 512)
    engine = TransformersEngine(model, tokenizer)
    layers = range(model.config.num_hidden_layers)

    def batch(i: int) -> list[Prompt]:
        return prompts[i * PROMPTS % (len(prompts) - PROMPTS) :][:PROMPTS]

    def rollout(i: int) -> tuple[int, int]:
        responses = engine.generate(batch(i), SAMPLING, seed=i, step=0)
        return len(responses), sum(len(r.token_ids) for r in responses)

    sampled = engine.generate(batch(0), SAMPLING, seed=0, step=0)

    def score(i: int) -> tuple[int, int]:
        scores = measure_responses(model, sampled, layers=layers, alignment="decision", local_window=32, micro_batch=64)
        return len(sampled), len(scores.logprob_N)

    kinds = {
        "rollout engine": rollout,
        "transformers generate": lambda i: hf_generate(model, tokenizer, batch(i), i),
        f"scoring, attention of {len(layers)} layers": score,
    }
    revision = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    parameters = sum(p.numel() for p in model.parameters())
    with args.out.open("w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        columns = ["what", "parameters", "responses", "tokens", "wall_seconds", "tokens_a_second", "threads", "device"]
        writer.writerow([*columns, "revision"])
        for what, work in kinds.items():
            responses, tokens, seconds = timed(work, args.passes)
            rate = f"{tokens / seconds:.0f}"
            writer.writerow([what, parameters, responses, tokens, f"{seconds:.3f}", rate, 1, cpu_name(), revision])
    print(args.out.read_text())


if __name__ == "__main__":
    main()
