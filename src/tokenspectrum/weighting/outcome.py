"""What a rule decides for each token of a batch.  Knows no rule."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Outcome:
    """Weights of the N tokens of a batch, and the numbers that led to them.

    weight_N    float, >= 0;  selected_N bool: whether a hard rule kept the token; true everywhere for soft rules
    score_N     float: what was ranked, drawn or turned into a weight; None if the rule looks at nothing
    cut_S       float: score of the last token kept in each segment; None if nothing is ranked
    extra       further realised values, for the metrics
    """

    weight_N: torch.Tensor
    selected_N: torch.Tensor
    score_N: torch.Tensor | None = None
    cut_S: torch.Tensor | None = None
    extra: Mapping[str, float | str] = field(default_factory=dict)
