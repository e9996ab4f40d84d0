"""Scoring 2,048 tokens with attention statistics, beside a plain forward pass of the same tokens; one CPU thread.

    python -m benchmarks.scoring [--policies tiny smollm2-135m]

The forward pass has the logits of every position.  Scoring gives each token's log-probability and predictive entropy,
and the entropy, distance and local mass of its attention row at one layer or at all.  Both run on the libraries' own
arithmetic.  On portable arithmetic, where stages run, the forward pass takes another time, and so the ratio is another
(docs/laptop.md).

A row of attention needs its logits and their exponentials, once.  The limit is the forward pass and no more than those,
at the rates at which this CPU multiplies matrices and takes exponentials in the same run.
"""

import argparse
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from transformers import PreTrainedModel

from benchmarks.entropy.measure import exp_rate, matmul_rate
from benchmarks.policies import folder
from benchmarks.raw import in_turns, median, save
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.types import Response

CSV = Path(__file__).with_suffix(".csv")
TOKENS, PROMPT = 2048, 64
# Rounds and warm-ups: a pass of the larger policy takes ten seconds.
ROUNDS = {"tiny": (9, 1), "smollm2-135m": (2, 0)}


def calls(model: PreTrainedModel, tokens: int) -> dict[str, Callable[[], object]]:
    """A forward pass, and scoring with one layer and with all, of random tokens."""
    layers, generator = model.config.num_hidden_layers, torch.Generator().manual_seed(0)
    ids = tuple(torch.randint(0, model.config.vocab_size, (tokens,), generator=generator).tolist())
    response = Response("0" * 16, 0, ids[:PROMPT], ids[PROMPT:], (0.0,) * (tokens - PROMPT), "length")
    ids_1T = torch.tensor([ids], device=model.device)

    @torch.no_grad()
    def forward() -> None:
        model(input_ids=ids_1T, use_cache=False)

    def scoring(chosen: Sequence[int]) -> Callable[[], object]:
        options = {"alignment": "decision", "local_window": 32, "micro_batch": 1}
        return lambda: measure_responses(model, [response], layers=chosen, **options)

    return {"forward pass": forward, "one layer": scoring([layers // 2]), "all layers": scoring(range(layers))}


def least_seconds(model: PreTrainedModel) -> float:
    """Products and exponentials of the causal half of a layer's logits, each once."""
    config, rows = model.config, 96
    pairs = config.num_attention_heads * TOKENS * (TOKENS + 1) / 2
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    flops = matmul_rate("cpu", torch.float32, rows, TOKENS // 2, dim)
    return 2 * dim * pairs / flops + pairs / exp_rate("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", nargs="+", choices=tuple(ROUNDS), default=list(ROUNDS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for policy in args.policies:
        rounds, warm_ups = ROUNDS[policy]
        model, _ = load_policy(folder(policy))
        # Both sides run past the context that the tiny policy was trained for; the work is the same.
        model.config.max_position_embeddings = max(model.config.max_position_embeddings, TOKENS)
        found = in_turns(calls(model, TOKENS), rounds, warm_ups)
        forward, layer = statistics.median(found["forward pass"]), least_seconds(model)
        found["limit, one layer"] = [forward + layer]
        found["limit, all layers"] = [forward + model.config.num_hidden_layers * layer]
        for what, seconds in found.items():
            row = {"policy": policy, "what": what, "tokens": TOKENS, "rounds": rounds, "cpu_seconds": median(seconds)}
            rows.append(row)
            print(*row.values(), sep="  ", flush=True)
    save(CSV, rows, by=["policy"])


if __name__ == "__main__":
    main()
