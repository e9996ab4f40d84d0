"""The statistics of every response token: names and shapes.  Knows no model and no kernel.

Legend: R responses, N response tokens of all responses in order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from tokenspectrum.row_statistics import STATISTICS

Alignment = Literal["decision", "token"]

if TYPE_CHECKING:

    class AttentionStatistics:
        """For the type checker, which does not read row_statistics.py."""

        visible_N: torch.Tensor

        def __init__(self, *, visible_N: torch.Tensor, **of_statistics: torch.Tensor | None) -> None: ...
        def __getattr__(self, name: str) -> Any: ...
else:
    AttentionStatistics = make_dataclass(
        "AttentionStatistics",
        [
            ("visible_N", torch.Tensor),
            *((f"{s.name}_N", torch.Tensor) for s in STATISTICS if not s.optional),
            *((f"{s.name}_N", torch.Tensor | None, None) for s in STATISTICS if s.optional),
        ],
        frozen=True,
        namespace={
            "__module__": __name__,
            "__doc__": """Head-mean attention row of each response token at a layer: (N,) each; None if not asked for.

    A field for each statistic of row_statistics.py, by its name and `_N`.  Entropies in nats, distance in positions;
    `visible_N` and the support sizes are int64 counts of positions.
    """,
        },
    )


@dataclass(frozen=True)
class Statistics:
    """Statistics of every response token: responses in the given order, positions ascending; float32 on the CPU.

    `logprob_N` and `predictive_entropy_N` are of the full vocabulary at temperature 1, in nats.
    `rows[layer][i]` is the attention row of the i-th token asked for, over its visible positions, oldest first.
    """

    lengths_R: torch.Tensor
    logprob_N: torch.Tensor
    predictive_entropy_N: torch.Tensor
    attention: Mapping[int, AttentionStatistics]
    rows: Mapping[int, Sequence[torch.Tensor]]
