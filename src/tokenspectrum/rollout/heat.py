"""Temperatures that depend on the token: one where the policy is unsure, and one elsewhere.  The same for every engine.

Knows logits.  Knows no engine.
"""

import torch

from tokenspectrum.rollout.types import Heat


def temperatures(logits_BV: torch.Tensor, heat: Heat) -> torch.Tensor:
    """float32 B: heat.above where the entropy at temperature 1 (full vocabulary, nats) is above the threshold."""
    logprob_BV = logits_BV.float().log_softmax(-1)
    # A token of probability 0 adds nothing, though its logarithm is not finite.
    entropy_B = -(logprob_BV.exp() * logprob_BV.clamp(min=torch.finfo(torch.float32).min)).sum(-1)
    return torch.where(entropy_B > heat.threshold, heat.above, heat.below).float()
