"""Draws one token a row: the inverse CDF of a distribution that is sorted stably.  Knows logits.  Knows no model.

u lies in [0, 1).  Tokens are sorted by descending probability, and by id if they are equal.  Their probabilities are
summed in this order.  The drawn token is the first at which the sum exceeds u times the nucleus's mass.  So the same u
and the same distribution give the same token in any batch.
"""

import torch

from tokenspectrum.errors import UserError

# To sort a whole vocabulary costs more than a small policy's forward pass.  Mostly the largest few hold the nucleus.
_PREFILTER = 32
# Where they do not, these many mostly do.  For a vocabulary of 50,000 that is a tenth of the time of a sort.
_WIDER = 1024


def _pick(prob_BK: torch.Tensor, u_B: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Rank of the drawn token among descending probabilities (B,), and which of them are the nucleus (B, K).

    The nucleus is the fewest tokens that reach top_p: a token belongs to it if the tokens before it do not reach top_p.
    """
    cumulated_BK = prob_BK.double().cumsum(-1)
    keep_BK = (cumulated_BK - prob_BK) < top_p
    size_B1 = keep_BK.sum(-1, keepdim=True)
    mass_B1 = cumulated_BK.gather(-1, size_B1 - 1)
    rank_B = (cumulated_BK <= u_B[:, None] * mass_B1).sum(-1)
    return torch.minimum(rank_B, size_B1[:, 0] - 1), keep_BK


def _pick_far(logits_UV: torch.Tensor, lse_U1: torch.Tensor, u_U: torch.Tensor, top_p: float) -> torch.Tensor:
    """Ids of the drawn tokens (U,), of rows that the largest _PREFILTER do not decide."""
    token_U, rest_U = u_U.new_zeros(len(u_U), dtype=torch.int64), torch.arange(len(u_U), device=u_U.device)
    if logits_UV.shape[-1] > 2 * _WIDER:
        # By id first, so that the stable sort orders equal values by id.
        id_UK = logits_UV.topk(_WIDER, -1).indices.sort(dim=-1).values
        top_UK, order_UK = logits_UV.gather(-1, id_UK).sort(dim=-1, descending=True, stable=True)
        rank_U, keep_UK = _pick((top_UK - lse_U1).exp(), u_U, top_p)
        token_U = id_UK.gather(-1, order_UK).gather(-1, rank_U[:, None])[:, 0]
        # topk does not promise which of several values equal to its last it takes.
        rest_U = (keep_UK & (top_UK == top_UK[:, -1:])).any(-1).nonzero()[:, 0]
    if len(rest_U):
        sorted_UV, id_UV = logits_UV[rest_U].sort(dim=-1, descending=True, stable=True)
        rank_U, _ = _pick((sorted_UV - lse_U1[rest_U]).exp(), u_U[rest_U], top_p)
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
    top_BK, id_BK = logits_BV.topk(min(_PREFILTER, logits_BV.shape[-1]), -1)
    rank_B, keep_BK = _pick((top_BK - lse_B1).exp(), u_B, top_p)
    token_B = id_BK.gather(-1, rank_B[:, None])[:, 0]
    # Look further where the result could differ: the nucleus is larger than the prefilter, or equal values lie inside
    # it or across its end, whose order topk does not promise.
    tied_BK = (top_BK[:, 1:] == top_BK[:, :-1]) & keep_BK[:, :-1]
    unsure = (keep_BK[:, -1] | tied_BK.any(-1)).nonzero()[:, 0]
    if len(unsure):
        token_B[unsure] = _pick_far(logits_BV[unsure], lse_B1[unsure], u_B[unsure], top_p)
    logprob_B = logits_BV.gather(-1, token_B[:, None])[:, 0] - lse_B1[:, 0]
    # Float noise may make the log-probability of a sure token a little larger than 0.
    return token_B, logprob_B.clamp(max=0.0)
