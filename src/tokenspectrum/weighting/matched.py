"""Controls: as many tokens of each class as another hard rule keeps of it, but which of them is left to chance.

A class is a token's type, or the tenth of its response that it lies in.  Classes are counted in each segment that the
matched rule ranks, so the two masks have the same histogram there, and the same number of tokens.  Knows the registry.
"""

import torch

from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.masks import mask_uniforms, rank_in_segment
from tokenspectrum.weighting.registry import RULES, Outcome, register
from tokenspectrum.weighting.rule import Rule

NEEDS = ("p", "score", "scope", "matches")
PARTS = 10


@register("type-matched", needs=NEEDS)
def type_matched(rule: Rule, batch: TokenBatch) -> Outcome:
    """The same histogram of token types as the matched mask."""
    if batch.token_type_N is None:
        raise ValueError("the batch has no token types")
    return _matched(rule, batch, batch.token_type_N)


@register("position-matched", needs=NEEDS)
def position_matched(rule: Rule, batch: TokenBatch) -> Outcome:
    """The same histogram of relative position as the matched mask: token t of T is in part floor(10 t / T)."""
    return _matched(rule, batch, batch.position_N * PARTS // batch.lengths_R[batch.response_N])


def _matched(rule: Rule, batch: TokenBatch, class_N: torch.Tensor) -> Outcome:
    kept_N = RULES[rule.matches](rule, batch).selected_N
    classes = int(class_N.max()) + 1 if batch.n_tokens else 1
    cell_N = batch.segment_N(rule.scope) * classes + class_N
    wanted_C = torch.bincount(cell_N, weights=kept_N.double())
    u_N = torch.from_numpy(mask_uniforms(batch))
    rank_N, _ = rank_in_segment(u_N, batch, cell_N)
    selected_N = rank_N < wanted_C[cell_N]
    return Outcome(selected_N.float(), selected_N, u_N)
