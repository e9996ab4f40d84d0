"""Truncated importance sampling: sampler and trainer hold the same weights and differ in arithmetic.

    rho_t = min(exp(logprob_t - rollout_logprob_t), C)      both at temperature 1

multiplies the loss of each token and has no gradient.  The denominator D stays that of the weights alone.  It is verl's
`rollout_is: token` with `rollout_is_threshold: C`.  Knows log-probabilities.  Knows no sampler and no trainer.

Legend: N response tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from tokenspectrum.rollout.types import Response
from tokenspectrum.training.dapo import importance_ratio


@dataclass(frozen=True)
class Correction:
    """rho of every token, and what metrics say of it: mean of rho, share of tokens that C cut, and C itself."""

    rho_N: torch.Tensor
    told: Mapping[str, float]


def correction(logprob_N: torch.Tensor, responses: Sequence[Response], threshold: float) -> Correction:
    """`logprob_N` is of the policy that the step began with.  The ratio's log is kept within +-20, as in verl."""
    rollout_logprob_N = torch.tensor([value for response in responses for value in response.logprobs])
    ratio_N = importance_ratio(logprob_N, rollout_logprob_N)
    rho_N = ratio_N.clamp(max=threshold)
    told = {
        "rollout_is_mean": float(rho_N.double().mean()),
        "rollout_is_truncated": float((ratio_N > threshold).double().mean()),
        "rollout_is_threshold": threshold,
    }
    return Correction(rho_N, told)
