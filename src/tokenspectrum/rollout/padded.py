"""Responses as micro-batches that are padded on the right.  Attention is causal, so no token sees the padding.

Knows token ids.  Knows no model.

Legend: B rows of a micro-batch, T positions of its longest row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tokenspectrum.rollout.types import Response


@dataclass(frozen=True)
class MicroBatch:
    """Responses `index` (into the sequence they came from) behind their prompts, zeros on the right."""

    index: tuple[int, ...]
    prompt_B: torch.Tensor  # int64 on the CPU: prompt tokens
    length_B: torch.Tensor  # int64 on the CPU: response tokens
    ids_BT: torch.Tensor  # int64 on the model's device

    def response_span(self, shift: int) -> torch.Tensor:
        """(B, T) bool: the positions of the response tokens, moved by `shift`."""
        first_B = self.prompt_B + shift
        return self._between(first_B, first_B + self.length_B)

    def tokens(self) -> torch.Tensor:
        """(B, T) bool: prompt and response, not padding."""
        return self._between(torch.zeros_like(self.prompt_B), self.prompt_B + self.length_B)

    def _between(self, first_B: torch.Tensor, stop_B: torch.Tensor) -> torch.Tensor:
        position_T = torch.arange(self.ids_BT.shape[1])
        return ((position_T >= first_B[:, None]) & (position_T < stop_B[:, None])).to(self.ids_BT.device)


def by_length(responses: Sequence[Response]) -> list[int]:
    """Indices of the responses, shortest first with their prompts; equal ones in order."""
    total = _totals(responses)
    return sorted(range(len(responses)), key=lambda i: (total[i], i))


def micro_batches(responses: Sequence[Response], size: int, device: torch.device) -> Iterator[MicroBatch]:
    """Batches of at most `size` responses of similar lengths, so that padding is least."""
    total, order = _totals(responses), by_length(responses)
    for first in range(0, len(order), size):
        index = tuple(order[first : first + size])
        ids_BT = torch.zeros(len(index), max(total[i] for i in index), dtype=torch.int64)
        for b, i in enumerate(index):
            ids_BT[b, : total[i]] = torch.tensor(responses[i].prompt_token_ids + responses[i].token_ids)
        yield MicroBatch(
            index=index,
            prompt_B=torch.tensor([len(responses[i].prompt_token_ids) for i in index]),
            length_B=torch.tensor([len(responses[i].token_ids) for i in index]),
            ids_BT=ids_BT.to(device),
        )


def _totals(responses: Sequence[Response]) -> list[int]:
    return [len(r.prompt_token_ids) + len(r.token_ids) for r in responses]
