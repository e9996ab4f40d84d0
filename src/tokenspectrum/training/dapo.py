"""DAPO's arithmetic: the clipped per-token loss, and a mini-batch's weighted mean.  advantage.py has the advantages.

Knows tensors of one number a response (R) or a token (N, no padding).  Knows no model, no optimiser, no weighting rule.

Precision: S_m is summed in float64 over the float32 weights and advantages that the tables store, so that SQL on the
tables gives the same number.  The loss keeps the dtype of its inputs, which is float32 in training.
"""

from dataclasses import dataclass

import torch

# A ratio of e^20 is far outside every clip.  A much larger exp() overflows and makes NaN of a clipped gradient of 0.
LOG_RATIO_LIMIT = 20.0


@dataclass(frozen=True)
class Clip:
    """The ratio is clipped to [1 - low, 1 + high].  For a negative advantage the loss is at most -advantage * dual."""

    low: float
    high: float
    dual: float


def importance_ratio(logprob_N: torch.Tensor, old_logprob_N: torch.Tensor) -> torch.Tensor:
    """exp(logprob - old_logprob).  The difference is kept within +-20, so there is no overflow and no NaN gradient."""
    return (logprob_N - old_logprob_N).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def clipped_loss(
    logprob_N: torch.Tensor, old_logprob_N: torch.Tensor, advantage_N: torch.Tensor, clip: Clip
) -> torch.Tensor:
    """DAPO's clipped term l_t of each token, without KL and entropy bonus.  It is not yet weighted or averaged.

    l_t = max(-A r, -A clip(r, 1-low, 1+high)), and at most -A dual if A < 0.  At r = 1 it is -A.
    """
    ratio_N = importance_ratio(logprob_N, old_logprob_N)
    plain_N = -advantage_N * ratio_N
    bounded_N = -advantage_N * ratio_N.clamp(1 - clip.low, 1 + clip.high)
    loss_N = torch.maximum(plain_N, bounded_N)
    return torch.where(advantage_N < 0, torch.minimum(loss_N, -advantage_N * clip.dual), loss_N)


def token_denominator(weight_N: torch.Tensor, denominator: str) -> float:
    """D of one mini-batch: sum of weights ("selected") or number of tokens ("all").  D = 0 means no step, counted."""
    if denominator == "selected":
        return float(weight_N.double().sum())
    if denominator == "all":
        return float(weight_N.numel())
    raise ValueError(f"denominator {denominator!r}: expected selected or all")


def weighted_loss(loss_N: torch.Tensor, weight_N: torch.Tensor, total: float) -> torch.Tensor:
    """sum_t w_t l_t / D, a scalar to take the gradient of.

    `total` is D of the whole mini-batch.  So the results of all micro-batches add up to the mini-batch's loss.  Since
    w_t l_t(A) = l_t(w_t A) for w_t >= 0, the advantage may be multiplied by w_t instead.
    """
    if total <= 0:
        raise ValueError("a mini-batch with D = 0 has no loss: skip its step")
    return (weight_N * loss_N).sum() / total


def surrogate(weight_N: torch.Tensor, advantage_N: torch.Tensor, total: float) -> float:
    """S_m = -sum_t w_t A_t / D_m of a mini-batch: its loss at ratio 1, before any update.  0 if D_m = 0."""
    return 0.0 - float((weight_N.double() * advantage_N.double()).sum()) / total if total else 0.0
