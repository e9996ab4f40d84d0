"""Responses as micro-batches that are padded on the right.  Attention is causal, so no token sees the padding.

A row is a prompt with one response behind it.  With `share_prompts` it has all responses of the prompt that are in the
micro-batch, one behind the other: each sees the prompt and itself, and has the positions that it would have alone.  So
a prompt is gone through once, and every number stays as it was but for float noise.

Prompts that begin alike, as behind the same worked examples, stand in one row too where that saves enough: first what
they share, then the rest of each with its responses behind it.

Knows token ids.  Knows no model.

Legend: R responses of a micro-batch, B its rows, T positions of the longest row, n response tokens of all R.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from tokenspectrum.rollout.types import Response

# What prompts share is gone through once where that leaves at most such a share of the positions: it has its own cost.
_WORTH = 0.8


@dataclass(frozen=True)
class MicroBatch:
    """Responses `index` (into the sequence they came from) behind their prompts, zeros on the right.

    prompt_R, length_R   int64 on the CPU: tokens of each response's prompt, and its own
    common_R, rest_R     int64 on the CPU: tokens of its prompt that begin the row, and the place of the others there
    row_R, start_R       int64 on the CPU: its row, and the place of its first token there
    ids_BT               int64 on the model's device
    position_BT          int64, or None where a token's position is its place
    seen_B1TT            bool, True where a query sees a key; None where that is all that lies before it
    """

    index: tuple[int, ...]
    prompt_R: torch.Tensor
    length_R: torch.Tensor
    common_R: torch.Tensor
    rest_R: torch.Tensor
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
        others_R = self.prompt_R - self.common_R
        last_R = torch.where(others_R > 0, self.rest_R + others_R, self.common_R) - 1
        query_n[first_R] = self.row_R * self.ids_BT.shape[1] + last_R
        return query_n

    def sequences(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Places of each response's prompt and tokens, response by response, and where each response begins (R + 1)."""
        others_R = self.prompt_R - self.common_R
        common, others, own = (
            self._flat(start_R, length_R).split(length_R.tolist())
            for start_R, length_R in (
                (torch.zeros_like(self.start_R), self.common_R),
                (self.rest_R, others_R),
                (self.start_R, self.length_R),
            )
        )
        places = torch.cat([part for parts in zip(common, others, own, strict=True) for part in parts])
        return places, torch.nn.functional.pad((self.prompt_R + self.length_R).cumsum(0), (1, 0))

    def _flat(self, start_R: torch.Tensor, length_R: torch.Tensor) -> torch.Tensor:
        first_R = self.row_R * self.ids_BT.shape[1] + start_R
        within_n = torch.arange(int(length_R.sum())) - (length_R.cumsum(0) - length_R).repeat_interleave(length_R)
        return first_R.repeat_interleave(length_R) + within_n


def micro_batches(responses: Sequence[Response], size: int, share_prompts: bool = False) -> list[list[int]]:
    """Indices of at most `size` responses each; only the last micro-batch may have fewer than the others.

    The shortest with their prompts come first, equal ones in order, so that padding is least.  With `share_prompts` the
    responses of a prompt are next to one another, and prompts go by their longest response.  Where prompts share rows
    nothing is padded; then all micro-batches have equal work, so that processes which share them end together.

    The responses of one micro-batch, given alone and in its order, are that micro-batch again.
    """
    every = range(len(responses))
    if not share_prompts:
        total = [len(r.prompt_token_ids) + len(r.token_ids) for r in responses]
        return _cut(sorted(every, key=lambda i: total[i]), size)
    groups = _by_prompt(responses, every)
    count = -(-len(responses) // size)
    own = {ids: len(ids) + sum(len(responses[i].token_ids) for i in group) for ids, group in groups.items()}
    if count > 1 and _share_rows(own, count):
        size = -(-len(responses) // count)
        # There and back: who got the most work of one round gets the least of the next.
        turns = [*range(count), *reversed(range(count))]
        turn = {ids: turns[i % len(turns)] for i, ids in enumerate(sorted(own, key=lambda ids: own[ids]))}
        groups = dict(sorted(groups.items(), key=lambda item: turn[item[0]]))
    parts = _cut([i for group in groups.values() for i in group], size)
    # A cut may leave a prompt less than its longest response.
    return [[i for group in _by_prompt(responses, part).values() for i in group] for part in parts]


def _by_prompt(responses: Sequence[Response], index: Iterable[int]) -> dict[tuple[int, ...], list[int]]:
    """The responses `index` of each prompt; prompts by their longest response among them, equal ones in order."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i in index:
        groups.setdefault(responses[i].prompt_token_ids, []).append(i)
    longest = {ids: len(ids) + max(len(responses[i].token_ids) for i in group) for ids, group in groups.items()}
    return dict(sorted(groups.items(), key=lambda item: longest[item[0]]))


def _cut(order: list[int], size: int) -> list[list[int]]:
    return [order[first : first + size] for first in range(0, len(order), size)]


def _share_rows(own: Mapping[tuple[int, ...], int], count: int) -> bool:
    """Whether prompts would share rows in `count` micro-batches; `own` has each one's tokens with its responses."""
    common, each, in_one = common_beginning(list(own)), sum(own.values()) // len(own), len(own) // count
    return is_worth(common, common + in_one * (each - common), in_one * each)


def lay_out(
    responses: Sequence[Response], index: Sequence[int], device: torch.device, share_prompts: bool = False
) -> MicroBatch:
    """One micro-batch of the responses `index`, in that order."""
    groups: dict[object, list[int]] = {}  # responses behind one copy of their prompt, as numbers into `index`
    for number, i in enumerate(index):
        groups.setdefault(responses[i].prompt_token_ids if share_prompts else number, []).append(number)
    prompts = [responses[index[own[0]]].prompt_token_ids for own in groups.values()]
    answers = [[responses[index[number]].token_ids for number in own] for own in groups.values()]
    common, rows = _rows(prompts, answers) if share_prompts else (0, [[g] for g in range(len(prompts))])
    count = len(index)
    common_R, rest_R, row_R, start_R = (torch.zeros(count, dtype=torch.int64) for _ in range(4))
    lines: list[list[int]] = []
    members = list(groups.values())
    for b, row in enumerate(rows):
        shared = common if len(row) > 1 else len(prompts[row[0]])
        line = list(prompts[row[0]][:shared])
        for g in row:
            rest = len(line)
            line += prompts[g][shared:]
            for number, ids in zip(members[g], answers[g], strict=True):
                common_R[number], rest_R[number], row_R[number], start_R[number] = shared, rest, b, len(line)
                line += ids
        lines.append(line)
    width = max(map(len, lines))
    batch = MicroBatch(
        index=tuple(index),
        prompt_R=torch.tensor([len(responses[i].prompt_token_ids) for i in index]),
        length_R=torch.tensor([len(responses[i].token_ids) for i in index]),
        common_R=common_R,
        rest_R=rest_R,
        row_R=row_R,
        start_R=start_R,
        ids_BT=torch.tensor([line + [0] * (width - len(line)) for line in lines]).to(device),
    )
    return batch if len(rows) == count else _shared(batch, device)


def _rows(
    prompts: Sequence[tuple[int, ...]], answers: Sequence[Sequence[tuple[int, ...]]]
) -> tuple[int, list[list[int]]]:
    """(tokens that begin all prompts, the prompts of each row): all in one row, or a row each."""
    alone = [[g] for g in range(len(prompts))]
    common = common_beginning(prompts)
    own = [len(prompt) + sum(map(len, each)) for prompt, each in zip(prompts, answers, strict=True)]
    together = sum(own) - common * (len(prompts) - 1)
    return (common, [list(range(len(prompts)))]) if is_worth(common, together, max(own) * len(prompts)) else (0, alone)


def common_beginning(prompts: Sequence[tuple[int, ...]]) -> int:
    """With how many tokens all prompts begin."""
    differing = (place for place, ids in enumerate(zip(*prompts, strict=False)) if len(set(ids)) > 1)
    return next(differing, min(map(len, prompts)))


def is_worth(common: int, together: int, apart: int) -> bool:
    """Whether prompts are to share `common` tokens: `together` positions are gone through then, `apart` else."""
    return common > 0 and together <= _WORTH * apart


def _shared(batch: MicroBatch, device: torch.device) -> MicroBatch:
    """The same with the positions and the mask of rows of several responses."""
    (rows, width), count = batch.ids_BT.shape, len(batch.index)
    position_BT = torch.zeros(rows, width, dtype=torch.int64)
    # What each place is part of: 0 is what begins the row, 1 to R are responses, and beyond stand rests of prompts.
    part_BT = torch.zeros(rows, width, dtype=torch.int64)
    behind = torch.zeros(2 * count + 1, dtype=torch.int64)  # the part that a response stands behind
    for r in range(count):
        row, common, rest = (int(values[r]) for values in (batch.row_R, batch.common_R, batch.rest_R))
        start, prompt, length = (int(values[r]) for values in (batch.start_R, batch.prompt_R, batch.length_R))
        others = slice(rest, rest + prompt - common)
        if prompt > common and not part_BT[row, rest]:
            part_BT[row, others] = count + 1 + r
        behind[r + 1] = part_BT[row, rest] if prompt > common else 0
        part_BT[row, start : start + length] = r + 1
        position_BT[row, :common] = torch.arange(common)
        position_BT[row, others] = torch.arange(common, prompt)
        position_BT[row, start : start + length] = torch.arange(prompt, prompt + length)
    query_BT1, key_B1T = part_BT[:, :, None], part_BT[:, None, :]
    seen_BTT = (key_B1T == query_BT1) | (key_B1T == 0) | (key_B1T == behind[part_BT][:, :, None])
    seen_BTT &= torch.ones(width, width, dtype=torch.bool).tril()
    # Padding counts as what begins the row; nothing that matters lies behind it.
    return replace(batch, position_BT=position_BT.to(device), seen_B1TT=seen_BTT[:, None].to(device))
