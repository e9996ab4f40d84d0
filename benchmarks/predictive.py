"""Predictive entropy and log-probability on one CPU thread, beside torch's log_softmax: CPU time and memory.

    python -m benchmarks.predictive

The peer is what one writes by hand: all logits, `log_softmax`, `gather`, and the sum of p ln p.  The hidden size is 64,
the tiny policy's: the smaller it is, the less of both is the matrix product.  So that is the hardest case for us.
`product` is the product alone, into memory that is there: what nobody can do without.
"""

import os
import statistics
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from benchmarks.entropy.measure import peak_mib
from benchmarks.raw import in_turns, save
from tokenspectrum.entropy import predictive_entropy

CSV = Path(__file__).with_suffix(".csv")
HIDDEN, ROUNDS = 64, 7
# Tokens a vocabulary: some 10 to 40 million logits, as many as a training step has.
TOKENS = {100: 65_536, 1_000: 16_384, 8_000: 2_048, 50_000: 512, 152_000: 256}


def calls(vocabulary: int, tokens: int) -> dict[str, Callable[[], object]]:
    """Ours, the peer's and the product on the same random tokens."""
    generator = torch.Generator().manual_seed(0)
    hidden_ND = torch.randn(tokens, HIDDEN, generator=generator)
    weight_VD = torch.randn(vocabulary, HIDDEN, generator=generator) * HIDDEN**-0.5
    target_N = torch.randint(0, vocabulary, (tokens,), generator=generator)
    out_NV = torch.empty(tokens, vocabulary)

    @torch.no_grad()
    def log_softmax() -> tuple[torch.Tensor, torch.Tensor]:
        logp_NV = (hidden_ND @ weight_VD.T).log_softmax(-1)
        return logp_NV.gather(1, target_N[:, None]), -(logp_NV.exp() * logp_NV).sum(-1)

    return {
        "ours": lambda: predictive_entropy(hidden_ND, weight_VD, target_N),
        "log_softmax": log_softmax,
        "product": lambda: torch.mm(hidden_ND, weight_VD.T, out=out_NV),
    }


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for vocabulary, tokens in TOKENS.items():
        peers = calls(vocabulary, tokens)
        seconds = in_turns(peers, ROUNDS)
        for who, call in peers.items():
            row = {"vocabulary": vocabulary, "hidden": HIDDEN, "tokens": tokens, "who": who, "rounds": ROUNDS}
            row |= {
                "cpu_ms": f"{1e3 * statistics.median(seconds[who]):.4g}",
                "peak_mib": f"{peak_mib(call, 'cpu'):.4g}",
            }
            rows.append(row)
            print(*row.values(), sep="  ", flush=True)
    save(CSV, rows)


if __name__ == "__main__":
    main()
