"""Draws one token a row: the inverse CDF of a distribution that is sorted stably.  Knows logits.  Knows no model.

u lies in [0, 1).  Tokens are sorted by descending probability, and by id if they are equal.  Their probabilities are
summed in this order.  The drawn token is the first at which the sum exceeds u times the nucleus's mass.  So the same u
and the same distribution give the same token in any batch.

To sort a whole vocabulary costs more than a small policy's forward pass.  The largest few tell the token in most rows:
where the nucleus goes on behind them, its mass is known well enough.
"""

import torch

from tokenspectrum.errors import UserError

# The largest few, and how many more are looked at where they do not tell.
_PREFILTER = 32
_WIDER = 1024
# By how much a sum of probabilities in float64 may depend on its order.
_SLACK = 1e-9


def _rank(
    top_BK: torch.Tensor, lse_B1: torch.Tensor, u_B: torch.Tensor, top_p: float, sum_B: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rank of the drawn token among the descending values `top_BK` (B,), and where it is certain (B,).

    The nucleus is the fewest tokens that reach top_p: a token belongs to it if the tokens before it do not reach top_p.
    `sum_B` is the sum of all probabilities, in any order; None if `top_BK` holds all values.
    """
    prob_BK = (top_BK - lse_B1).exp()
    cumulated_BK = prob_BK.double().cumsum(-1)
    keep_BK = (cumulated_BK - prob_BK) < top_p
    size_B = keep_BK.sum(-1)
    low_B = high_B = cumulated_BK.gather(-1, size_B[:, None] - 1)[:, 0]
    if sum_B is not None:
        # The last token of a nucleus that goes on is no likelier than the last of these.
        goes_on_B = keep_BK[:, -1]
        low_B = torch.where(goes_on_B, sum_B.clamp(max=top_p) - _SLACK, low_B)
        high_B = torch.where(goes_on_B, torch.minimum(sum_B, top_p + prob_BK[:, -1]) + _SLACK, high_B)
    rank_B, highest_B = ((cumulated_BK <= (u_B * mass_B)[:, None]).sum(-1) for mass_B in (low_B, high_B))
    rank_B = torch.minimum(rank_B, size_B - 1)
    certain_B = (rank_B == torch.minimum(highest_B, size_B - 1)) & ((highest_B < top_BK.shape[-1]) | (sum_B is None))
    return rank_B, certain_B


def _pick_far(
    logits_UV: torch.Tensor, lse_U1: torch.Tensor, u_U: torch.Tensor, top_p: float, sum_U: torch.Tensor
) -> torch.Tensor:
    """Ids of the drawn tokens (U,), of rows that the largest _PREFILTER do not decide."""
    token_U, rest_U = u_U.new_zeros(len(u_U), dtype=torch.int64), torch.arange(len(u_U), device=u_U.device)
    if logits_UV.shape[-1] > 2 * _WIDER:
        # By id first, so that the stable sort orders equal values by id.
        id_UK = logits_UV.topk(_WIDER, -1).indices.sort(dim=-1).values
        top_UK, order_UK = logits_UV.gather(-1, id_UK).sort(dim=-1, descending=True, stable=True)
        rank_U, certain_U = _rank(top_UK, lse_U1, u_U, top_p, sum_U)
        token_U = id_UK.gather(-1, order_UK).gather(-1, rank_U[:, None])[:, 0]
        # topk does not promise which of several values equal to its last it takes.
        certain_U &= top_UK.gather(-1, rank_U[:, None])[:, 0] != top_UK[:, -1]
        rest_U = (~certain_U).nonzero()[:, 0]
    if len(rest_U):
        sorted_UV, id_UV = logits_UV[rest_U].sort(dim=-1, descending=True, stable=True)
        rank_U, _ = _rank(sorted_UV, lse_U1[rest_U], u_U[rest_U], top_p, None)
        token_U[rest_U] = id_UV.gather(-1, rank_U[:, None])[:, 0]
    return token_U


def draw(
    logits_BV: torch.Tensor, u_B: torch.Tensor, temperature: float | torch.Tensor, top_p: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and their log-probabilities, both (B,).

    u_B is float64 in [0, 1).  `temperature` is one for all rows, or one for each (B,).  The log-probabilities are in
    nats, of the full vocabulary at `temperature`, before top-p.
    Raises UserError for logits that are NaN or infinite.
    """
    temperature_B1 = temperature[:, None] if isinstance(temperature, torch.Tensor) else temperature
    logits_BV = logits_BV.to(torch.promote_types(logits_BV.dtype, torch.float32)) / temperature_B1
    lse_B1 = logits_BV.logsumexp(-1, keepdim=True)
    if not lse_B1.isfinite().all():
        raise UserError("the policy's logits are NaN or infinite, so nothing can be sampled; check its weights")
    sum_B = (logits_BV - lse_B1).exp().double().sum(-1)
    top_BK, id_BK = logits_BV.topk(min(_PREFILTER, logits_BV.shape[-1]), -1)
    rank_B, certain_B = _rank(top_BK, lse_B1, u_B, top_p, sum_B)
    token_B = id_BK.gather(-1, rank_B[:, None])[:, 0]
    # Equal values at the drawn rank, or at the end, may be more than are seen, and topk does not promise their order.
    same_BK = top_BK[:, 1:] == top_BK[:, :-1]
    nothing_B1 = same_BK.new_zeros(len(same_BK), 1)
    last_B1 = nothing_B1 if top_BK.shape[-1] == logits_BV.shape[-1] else ~nothing_B1
    tied_BK = torch.cat([same_BK, last_B1], -1) | torch.cat([nothing_B1, same_BK], -1)
    unsure = (~certain_B | tied_BK.gather(-1, rank_B[:, None])[:, 0]).nonzero()[:, 0]
    if len(unsure):
        token_B[unsure] = _pick_far(logits_BV[unsure], lse_B1[unsure], u_B[unsure], top_p, sum_B[unsure])
    logprob_B = logits_BV.gather(-1, token_B[:, None])[:, 0] - lse_B1[:, 0]
    # Float noise may make the log-probability of a sure token a little larger than 0.
    return token_B, logprob_B.clamp(max=0.0)
