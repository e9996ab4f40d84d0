"""Gradients of sums over tokens that are held, to be multiplied with others.  Knows a model and responses.

Legend: N response tokens of all responses in order, K sums.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from tokenspectrum.rollout.types import Response
from tokenspectrum.training.backends.local.pulls import Vector, dot, held_at_once, pulls, trained


def held(
    model: PreTrainedModel,
    responses: Sequence[Response],
    coefficient_KN: torch.Tensor,
    micro_batch: int,
    share_prompts: bool = False,
    processes: int = 1,
) -> tuple[list[Vector], float]:
    """The K gradients in the policy's type, and |.|^2 of the first before it was rounded.

    What is multiplied with them has that type, so they need no more digits.
    """
    few, wanted = held_at_once(model), trained(model)
    vectors, squares = list[Vector](), list[float]()
    for first in range(0, len(coefficient_KN), few):
        rows = coefficient_KN[first : first + few]
        found = pulls(model, responses, rows, micro_batch, share_prompts, processes=processes)
        squares.append(dot(found[0], found[0]))
        for gradient in found:
            vectors.append([part.to(parameter.dtype) for part, parameter in zip(gradient, wanted, strict=True)])
        del found, gradient  # of a large policy a gradient is much memory
    return vectors, squares[0]
