"""What scoring leaves of every response token: names and shapes alone.  Knows no model and no kernel.

Legend: R responses, N response tokens of all responses in order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

Alignment = Literal["decision", "token"]
SUPPORTS = (50, 80, 90, 95)


@dataclass(frozen=True)
class AttentionScores:
    """Head-mean attention row of every response token at one layer: (N,) each, None where not asked for.

    Entropies in nats, distance in positions; `visible_N` and the support sizes are int64 counts of positions.
    """

    visible_N: torch.Tensor
    entropy_raw_N: torch.Tensor
    entropy_norm_N: torch.Tensor
    distance_N: torch.Tensor
    local_mass_N: torch.Tensor
    entropy_topk_N: torch.Tensor | None = None
    entropy_fixed_N: torch.Tensor | None = None
    support_50_N: torch.Tensor | None = None
    support_80_N: torch.Tensor | None = None
    support_90_N: torch.Tensor | None = None
    support_95_N: torch.Tensor | None = None


@dataclass(frozen=True)
class Scores:
    """Of every response token, responses in the order given, positions ascending; float32 on the CPU.

    `logprob_N` and `predictive_entropy_N` are of the full vocabulary at temperature 1, in nats.
    `rows[layer][i]` is the attention row of the i-th token asked for, over its visible positions, oldest first.
    """

    lengths_R: torch.Tensor
    logprob_N: torch.Tensor
    predictive_entropy_N: torch.Tensor
    attention: Mapping[int, AttentionScores]
    rows: Mapping[int, Sequence[torch.Tensor]]
