"""The registry of rules: a new rule is one decorated function (in a module that apply.py imports).

The one further line is its name among the kinds of its options in params/rules.py.  Knows no rule itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.rule import Rule


@dataclass(frozen=True)
class Outcome:
    """What a rule says of each token.

    weight_N    float, >= 0;  selected_N bool: a hard rule kept it; true throughout for soft rules
    score_N     float: what was ranked, drawn or turned into a weight; None where the rule looks at nothing
    cut_S       float: score of the boundary token of each segment (the last one kept); None where nothing is ranked
    extra       further realised values, for the metrics
    """

    weight_N: torch.Tensor
    selected_N: torch.Tensor
    score_N: torch.Tensor | None = None
    cut_S: torch.Tensor | None = None
    extra: Mapping[str, float] = field(default_factory=dict)


RuleFunction = Callable[[Rule, TokenBatch], Outcome]
RULES: dict[str, RuleFunction] = {}
NEEDS: dict[str, tuple[str, ...]] = {}


def register(*kinds: str, needs: tuple[str, ...] = ()) -> Callable[[RuleFunction], RuleFunction]:
    """Enter the decorated function under `kinds`; `needs` are the Rule fields it reads.  No name twice: ValueError."""

    def enter(function: RuleFunction) -> RuleFunction:
        for kind in kinds:
            if kind in RULES:
                raise ValueError(f"rule {kind!r} is registered twice")
            RULES[kind], NEEDS[kind] = function, needs
        return function

    return enter
