"""Responses as micro-batches that are padded on the right.  Attention is causal, so no token sees the padding.

A row is a prompt with one response behind it.  With `share_prompts` it has all responses of the prompt that are in the
micro-batch, one behind the other: each sees the prompt and itself, and has the positions that it would have alone.  So
a prompt is gone through once, and every number stays as it was but for float noise.

Knows token ids.  Knows no model.

Legend: R responses of a micro-batch, B its rows, T positions of the longest row, n response tokens of all R.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from tokenspectrum.rollout.types import Response


@dataclass(frozen=True)
class MicroBatch:
    """Responses `index` (into the sequence they came from) behind their prompts, zeros on the right.

    prompt_R, length_R   int64 on the CPU: tokens of each response's prompt, and its own
    row_R, start_R       int64 on the CPU: its row, and the place of its first token there
    ids_BT               int64 on the model's device
    position_BT          int64, or None where a token's position is its place
    seen_B1TT            bool, True where a query sees a key; None where that is all that lies before it
    """

    index: tuple[int, ...]
    prompt_R: torch.Tensor
    length_R: torch.Tensor
    row_R: torch.Tensor
    start_R: torch.Tensor
    ids_BT: torch.Tensor
    position_BT: torch.Tensor | None = None
    seen_B1TT: torch.Tensor | None = None

    def inputs(self) -> dict[str, torch.Tensor]:
        """What the model's forward pass takes."""
        extra = {"position_ids": self.position_BT, "attention_mask": self.seen_B1TT}
        return {"input_ids": self.ids_BT} | {name: value for name, value in extra.items() if value is not None}

    def targets(self) -> torch.Tensor:
        """int64 n: the places of the response tokens among the flat (B, T), response by response."""
        return self._flat(self.start_R, self.length_R)

    def queries(self) -> torch.Tensor:
        """int64 n: the places of the queries that emit them.  The prompt's last token emits a response's first."""
        query_n = self.targets() - 1
        first_R = self.length_R.cumsum(0) - self.length_R
        query_n[first_R] = self.row_R * self.ids_BT.shape[1] + self.prompt_R - 1
        return query_n

    def sequences(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Places of each response's prompt and tokens, response by response, and where each response begins (R + 1)."""
        prompts, own = (
            self._flat(torch.zeros_like(self.start_R), self.prompt_R).split(self.prompt_R.tolist()),
            self.targets().split(self.length_R.tolist()),
        )
        places = torch.cat([part for pair in zip(prompts, own, strict=True) for part in pair])
        return places, torch.nn.functional.pad((self.prompt_R + self.length_R).cumsum(0), (1, 0))

    def _flat(self, start_R: torch.Tensor, length_R: torch.Tensor) -> torch.Tensor:
        first_R = self.row_R * self.ids_BT.shape[1] + start_R
        within_n = torch.arange(int(length_R.sum())) - (length_R.cumsum(0) - length_R).repeat_interleave(length_R)
        return first_R.repeat_interleave(length_R) + within_n


def in_order(responses: Sequence[Response], share_prompts: bool = False) -> list[int]:
    """Indices of the responses, shortest first with their prompts; equal ones in order.

    With `share_prompts` the responses of a prompt are next to one another, and prompts go by their longest response.
    """
    total = [len(r.prompt_token_ids) + len(r.token_ids) for r in responses]
    if not share_prompts:
        return sorted(range(len(responses)), key=lambda i: (total[i], i))
    longest: dict[tuple[int, ...], int] = {}
    for response, length in zip(responses, total, strict=True):
        longest[response.prompt_token_ids] = max(length, longest.get(response.prompt_token_ids, 0))
    prompt = {ids: (length, place) for place, (ids, length) in enumerate(longest.items())}
    return sorted(range(len(responses)), key=lambda i: (prompt[responses[i].prompt_token_ids], i))


def micro_batches(responses: Sequence[Response], size: int, share_prompts: bool = False) -> list[list[int]]:
    """Indices of at most `size` responses each, of similar lengths, so that padding is least."""
    order = in_order(responses, share_prompts)
    return [order[first : first + size] for first in range(0, len(order), size)]


def lay_out(
    responses: Sequence[Response], index: Sequence[int], device: torch.device, share_prompts: bool = False
) -> MicroBatch:
    """One micro-batch of the responses `index`, in that order."""
    rows: dict[object, list[int]] = {}  # a row's responses, as numbers into `index`
    for number, i in enumerate(index):
        rows.setdefault(responses[i].prompt_token_ids if share_prompts else number, []).append(number)
    prompts = [responses[index[own[0]]].prompt_token_ids for own in rows.values()]
    length_R = torch.tensor([len(responses[i].token_ids) for i in index])
    row_R, start_R = torch.zeros(len(index), dtype=torch.int64), torch.zeros(len(index), dtype=torch.int64)
    width = max(len(prompt) + int(length_R[own].sum()) for prompt, own in zip(prompts, rows.values(), strict=True))
    ids_BT = torch.zeros(len(rows), width, dtype=torch.int64)
    for b, (prompt, own) in enumerate(zip(prompts, rows.values(), strict=True)):
        ids_BT[b, : len(prompt)] = torch.tensor(prompt)
        start = len(prompt)
        for number in own:
            ids = responses[index[number]].token_ids
            row_R[number], start_R[number] = b, start
            ids_BT[b, start : start + len(ids)] = torch.tensor(ids)
            start += len(ids)
    batch = MicroBatch(
        index=tuple(index),
        prompt_R=torch.tensor([len(responses[i].prompt_token_ids) for i in index]),
        length_R=length_R,
        row_R=row_R,
        start_R=start_R,
        ids_BT=ids_BT.to(device),
    )
    return batch if len(rows) == len(index) else _shared(batch, device)


def _shared(batch: MicroBatch, device: torch.device) -> MicroBatch:
    """The same with the positions and the mask of rows of several responses."""
    (rows, width), count = batch.ids_BT.shape, len(batch.index)
    position_BT = torch.zeros(rows, width, dtype=torch.int64)
    owner_BT = torch.zeros(rows, width, dtype=torch.int64)  # 0: the prompt
    owner_BT.view(-1)[batch.targets()] = torch.arange(1, count + 1).repeat_interleave(batch.length_R)
    for r in range(count):
        row, start, stop = int(batch.row_R[r]), int(batch.start_R[r]), int(batch.start_R[r] + batch.length_R[r])
        prompt = int(batch.prompt_R[r])
        position_BT[row, :prompt] = torch.arange(prompt)
        position_BT[row, start:stop] = torch.arange(prompt, prompt + stop - start)
    own_BTT = owner_BT[:, :, None] == owner_BT[:, None, :]
    seen_BTT = (own_BTT | (owner_BT == 0)[:, None, :]) & torch.ones(width, width, dtype=torch.bool).tril()
    # Padding counts as the prompt's; nothing that matters lies behind it.
    return replace(batch, position_BT=position_BT.to(device), seen_B1TT=seen_BTT[:, None].to(device))
