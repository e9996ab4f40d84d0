"""Lengths of responses, the flat order of their tokens, and the seeded mini-batches of a step.

Knows token ids and lengths.  Knows no model, no rewards and no weights.

Legend: R responses, N response tokens, P prompts.
"""

from collections.abc import Sequence

import torch

from tokenspectrum.rollout.types import Response
from tokenspectrum.training.data import seeded_order


def response_lengths(responses: Sequence[Response]) -> torch.Tensor:
    """int64 R: tokens of each response."""
    return torch.tensor([len(response.token_ids) for response in responses], dtype=torch.int64)


def token_offsets(lengths_R: torch.Tensor) -> torch.Tensor:
    """int64 R: index of each response's first token in the flat order of all responses."""
    return lengths_R.cumsum(0) - lengths_R


def flat_tokens(rows: torch.Tensor, lengths_R: torch.Tensor) -> torch.Tensor:
    """int64: indices of the tokens of `rows` in the flat order of all responses, row after row."""
    length_B = lengths_R[rows]
    start_B = token_offsets(lengths_R)[rows] - token_offsets(length_B)
    return torch.arange(int(length_B.sum())) + start_B.repeat_interleave(length_B)


def assign_minibatches(prompt_ids: Sequence[str], n: int, mini_batches: int, seed: int, step: int) -> torch.Tensor:
    """int64 R: the mini-batch of each response, prompt-major; all n responses of a prompt share it.

    Prompts are shuffled by (seed, step) and cut into `mini_batches` parts of equal size.
    """
    size = len(prompt_ids) // mini_batches
    minibatch_P = torch.empty(len(prompt_ids), dtype=torch.int64)
    minibatch_P[torch.tensor(seeded_order(prompt_ids, "minibatch", seed, step))] = torch.arange(len(prompt_ids)) // size
    return minibatch_P.repeat_interleave(n)
