"""Micro-batches for the local trainer's gradient.  rollout/padded.py lays them out.  Knows no model.

Legend: R responses, N response tokens of a micro-batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch

from tokenspectrum.rollout.padded import lay_out, micro_batches
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.batch import flat_tokens, response_lengths

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Padded:
    """A micro-batch of `count` responses.

    inputs     what the model's forward pass takes
    query_N    int64 index into the flat (B, T) positions: the query that emits each response token, row by row
    target_N   int64: the response tokens
    token_N    int64: where those tokens lie in the flat order of all responses
    """

    count: int
    inputs: dict[str, torch.Tensor]
    query_N: torch.Tensor
    target_N: torch.Tensor
    token_N: torch.Tensor

    def only(self, kept_N: torch.Tensor) -> Self:
        """The same rows with some of their tokens as targets; the head then makes no others' logits."""
        parts = {name: getattr(self, name)[kept_N] for name in ("query_N", "target_N", "token_N")}
        return replace(self, **parts)


def padded_batches(
    responses: Sequence[Response], rows: torch.Tensor, size: int, share_prompts: bool = False
) -> Iterator[Padded]:
    """The responses `rows` (indices) in micro-batches of at most `size`."""
    lengths_R = response_lengths(responses)
    chosen = [responses[r] for r in rows.tolist()]
    for index in micro_batches(chosen, size, share_prompts):
        yield collate(responses, rows[index], lengths_R, share_prompts)


def collate(
    responses: Sequence[Response], rows: torch.Tensor, lengths_R: torch.Tensor, share_prompts: bool = False
) -> Padded:
    """One micro-batch of the responses `rows`; `lengths_R` are the lengths of all responses."""
    batch = lay_out(responses, rows.tolist(), CPU, share_prompts)
    return Padded(
        count=len(rows),
        inputs=batch.inputs(),
        query_N=batch.queries(),
        target_N=batch.ids_BT.flatten()[batch.targets()],
        token_N=flat_tokens(rows, lengths_R),
    )
