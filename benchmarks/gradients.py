"""What the geometry of 13 subsets and the gradients of 500 tokens cost, against one full backward pass.

    python benchmarks/gradients.py --artifacts artifacts/tiny --base 1

Takes a base policy and its probe as the stages left them, and writes benchmarks/gradients.csv.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from machine import cpu_name

from tokenspectrum.gradients.norms import token_norms
from tokenspectrum.gradients.pull import dots
from tokenspectrum.policy.load import load_policy
from tokenspectrum.portable.kernels import install
from tokenspectrum.rollout.chosen import chosen_tokens
from tokenspectrum.rollout.probed import Probed
from tokenspectrum.training.backends.local.pulls import pulls

SUBSETS, TOKENS, REPEATS = 13, 500, 2


def seconds(work) -> float:
    """CPU-seconds of one thread, the best of a few runs."""
    taken = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifacts", type=Path, required=True)
    parser.add_argument("--base", default="1")
    parser.add_argument("--micro-batch", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    install()
    probed = Probed(args.artifacts / "rollouts" / args.base)
    model, _ = load_policy(args.artifacts / "policy" / args.base)
    n = int(probed.lengths.sum())
    draw = np.random.default_rng(0)
    advantage_N = np.repeat(probed.advantage_R, probed.lengths)
    decile_N = draw.integers(0, 10, n)
    masks = [decile_N == d for d in range(10)] + [draw.random(n) < 0.2 for _ in range(SUBSETS - 10)]
    whole = torch.from_numpy(-advantage_N / n).float()[None]
    subsets = torch.from_numpy(np.stack([-advantage_N * mask / n for mask in masks])).float()
    full = seconds(lambda: pulls(model, probed.responses, whole, args.micro_batch))
    geometry = seconds(lambda: pulls(model, probed.responses, subsets, args.micro_batch))
    direction = pulls(model, probed.responses, whole, args.micro_batch)
    every = seconds(lambda: dots(model, probed.responses, direction, args.micro_batch))
    some = chosen_tokens(probed.responses, TOKENS, 0, 0)
    norms = seconds(lambda: token_norms(model, probed.responses, some))
    rows = [
        ("one full backward pass", 1, n, full, 1.0),
        (f"gradients of {SUBSETS} subsets", SUBSETS, n, geometry, geometry / full),
        ("<g_t, g> of every token", 1, n, every, every / full),
        (f"|g_t| of {TOKENS} tokens", TOKENS, TOKENS, norms, norms / full),
    ]
    path = Path(__file__).with_suffix(".csv")
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["what", "gradients", "tokens", "cpu_seconds", "passes", "device"])
        for what, count, tokens, taken, passes in rows:
            writer.writerow([what, count, tokens, f"{taken:.2f}", f"{passes:.2f}", cpu_name()])
    print(path.read_text())


if __name__ == "__main__":
    main()
