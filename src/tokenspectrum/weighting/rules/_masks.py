"""Hard rules: weight 1 for the tokens that a partition keeps, 0 for the others.

Knows scores, positions and thresholds.  Knows nothing of the loss and its denominator.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch

from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.outcome import Outcome
from tokenspectrum.weighting.rules._draws import token_uniforms

if TYPE_CHECKING:
    from typing import Protocol

    class Kept(Protocol):
        """A rule that keeps the fraction p of the tokens."""

        @property
        def p(self) -> float: ...

    class Ranked(Kept, Protocol):
        """One that ranks them by a score, within each segment of `scope`."""

        @property
        def scope(self) -> str: ...
        @property
        def score(self) -> str: ...


def everything(batch: TokenBatch) -> Outcome:
    """Every token gets weight 1: full-token training."""
    return keep(torch.ones(batch.n_tokens, dtype=torch.bool))


def bernoulli(rule: "Kept", batch: TokenBatch) -> Outcome:
    """Keep each token with probability p: u < p, where u is a hash of (seed, step, prompt_id, sample, position)."""
    u_N = torch.from_numpy(mask_uniforms(batch))
    return keep(u_N < rule.p, u_N)


def lowest(rule: "Ranked", batch: TokenBatch) -> Outcome:
    """Keep the k tokens of each segment with the lowest score: anchors, sure predictions, the least loss."""
    score_N, rank_N, size_N, among_N = _ranked(rule, batch)
    k_N = kept_count(size_N, rule.p)
    return keep(among_N & (rank_N < k_N), score_N, score_N[among_N & (rank_N == k_N - 1)])


def highest(rule: "Ranked", batch: TokenBatch) -> Outcome:
    """Keep the k tokens of each segment with the highest score: explorers, forking tokens, the most loss."""
    score_N, rank_N, size_N, among_N = _ranked(rule, batch)
    k_N = kept_count(size_N, rule.p)
    return keep(among_N & (rank_N >= size_N - k_N), score_N, score_N[among_N & (rank_N == size_N - k_N)])


def kept_count(size_N: torch.Tensor, p: float) -> torch.Tensor:
    """k = max(1, floor(p*T + 0.5)) in float64, elementwise; int64."""
    return (size_N.double() * p + 0.5).floor().long().clamp(min=1)


def rank_in_segment(
    score_N: torch.Tensor, batch: TokenBatch, segment_N: torch.Tensor, tie_N: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """0-based rank of each token in its segment, and its segment's size (both int64 N).

    One stable ascending sort by (score, position), or by (score, tie, position) if `tie_N` is given.  A segment may
    span responses.  Tokens that still tie there are sorted by (prompt_id, sample).  So a rank depends on what the batch
    holds, and not on its order.
    """
    responses = range(len(batch.prompt_ids))
    by_name = sorted(responses, key=lambda r: (batch.prompt_ids[r], int(batch.samples_R[r])))
    name_rank_R = torch.empty(len(by_name), dtype=torch.int64)
    name_rank_R[torch.tensor(by_name, dtype=torch.int64)] = torch.arange(len(by_name))
    order_N = torch.argsort(batch.position_N * len(by_name) + name_rank_R[batch.response_N], stable=True)
    if tie_N is not None:
        order_N = order_N[torch.argsort(tie_N[order_N], stable=True)]
    order_N = order_N[torch.argsort(score_N[order_N], stable=True)]
    order_N = order_N[torch.argsort(segment_N[order_N], stable=True)]
    size_S = torch.bincount(segment_N) if len(segment_N) else torch.zeros(0, dtype=torch.int64)
    start_S = size_S.cumsum(0) - size_S
    rank_N = torch.empty_like(segment_N)
    rank_N[order_N] = torch.arange(len(order_N)) - start_S[segment_N[order_N]]
    return rank_N, size_S[segment_N]


def mask_uniforms(batch: TokenBatch) -> np.ndarray:
    """float64 N in [0, 1): the counter-based draws that every random mask uses."""
    return token_uniforms(batch, "mask")


def ranked_among(rule: object, batch: TokenBatch) -> torch.Tensor:
    """bool N: the tokens that a rule ranks, which are all unless it has a `first_n`."""
    first_n = getattr(rule, "first_n", None)
    return batch.position_N < (batch.n_tokens if first_n is None else first_n)


def _ranked(rule: "Ranked", batch: TokenBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Score, rank, size of the segment, and whether the token is ranked.  The others have segments of their own."""
    among_N = ranked_among(rule, batch)
    segment_N = batch.segment_N(rule.scope)
    segment_N = torch.where(among_N, segment_N, segment_N + segment_N.max() + 1) if len(segment_N) else segment_N
    score_N = batch.score_N(rule.score)
    # Many tokens have equal loss: all of a response before the first update, and all clipped ones after it.  Ranked by
    # position they would make a front or a back mask, so chance breaks their ties.
    tie_N = torch.from_numpy(mask_uniforms(batch)) if rule.score == "loss_magnitude" else None
    return score_N, *rank_in_segment(score_N, batch, segment_N, tie_N), among_N


def progress(batch: TokenBatch) -> torch.Tensor:
    """(t+1)/T in float64, because a float32 quotient would move tokens across the threshold."""
    return (batch.position_N + 1).double() / batch.lengths_R[batch.response_N].double()


def keep(selected_N: torch.Tensor, score_N: torch.Tensor | None = None, cut_S: torch.Tensor | None = None) -> Outcome:
    return Outcome(selected_N.float(), selected_N, score_N, cut_S)
