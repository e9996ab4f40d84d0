"""Gradients of sums over tokens that are held, to be multiplied with others.  Knows a model and responses.

Legend: N response tokens of all responses in order, K sums.
"""

import mmap
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from tokenspectrum.rollout.types import Response
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.training.backends.local.pulls import Vector, at_once, dot, pulls, trained


def held(
    model: PreTrainedModel,
    responses: Sequence[Response],
    coefficient_KN: torch.Tensor,
    micro_batch: int,
    share_prompts: bool = False,
    processes: int = 1,
) -> tuple[list[Vector], float]:
    """The K gradients in the policy's type, and |.|^2 of the first before it was rounded.

    What is multiplied with them has that type, so they need no more digits.  `processes` share the K.
    """
    few = at_once(model)
    vectors = [[_shared(parameter) for parameter in trained(model)] for _ in coefficient_KN]

    def fill(first: int) -> float:
        found = pulls(model, responses, coefficient_KN[first : first + few], micro_batch, share_prompts)
        for vector, gradient in zip(vectors[first:], found, strict=False):
            for part, given in zip(vector, gradient, strict=True):
                part.copy_(given)
        return dot(found[0], found[0])

    squares = list(side_by_side(fill, range(0, len(coefficient_KN), few), processes))
    return vectors, squares[0]


def _shared(parameter: torch.Tensor) -> torch.Tensor:
    """A tensor like `parameter`; on the CPU in memory that forks write for each other."""
    if parameter.device.type != "cpu":
        return torch.empty_like(parameter, requires_grad=False)
    memory = mmap.mmap(-1, max(1, parameter.numel() * parameter.element_size()))
    return torch.frombuffer(memory, dtype=parameter.dtype, count=parameter.numel()).view(parameter.shape)
