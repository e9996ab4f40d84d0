"""Responses as padded micro-batches, for the local trainer's gradient.  Knows token ids and lengths.  Knows no model.

Legend: R responses, N response tokens, B rows of a micro-batch, T positions of its longest row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tokenspectrum.rollout.types import Response
from tokenspectrum.training.batch import flat_tokens, token_offsets


@dataclass(frozen=True)
class Padded:
    """A micro-batch of sequences that are padded on the right.  Causal attention never sees the padding there.

    ids_BT     int64, prompt then response, zeros behind
    query_N    int64 index into the flat (B, T) positions: the query that emits each response token, row by row
    target_N   int64: the response tokens
    token_N    int64: where those tokens lie in the flat order of all responses
    """

    ids_BT: torch.Tensor
    query_N: torch.Tensor
    target_N: torch.Tensor
    token_N: torch.Tensor


def micro_batches(rows: torch.Tensor, responses: Sequence[Response], size: int) -> list[torch.Tensor]:
    """`rows` (indices of responses) in chunks of at most `size`, sorted by length so that padding is least."""
    by_length = sorted(
        rows.tolist(), key=lambda r: (len(responses[r].prompt_token_ids) + len(responses[r].token_ids), r)
    )
    return list(torch.tensor(by_length, dtype=torch.int64).split(size)) if by_length else []


def collate(responses: Sequence[Response], rows: torch.Tensor, lengths_R: torch.Tensor) -> Padded:
    """Pad the responses `rows`; `lengths_R` are the lengths of all responses."""
    chosen = [responses[r] for r in rows.tolist()]
    width = max(len(response.prompt_token_ids) + len(response.token_ids) for response in chosen)
    ids_BT = torch.zeros(len(chosen), width, dtype=torch.int64)
    for row, response in enumerate(chosen):
        ids = response.prompt_token_ids + response.token_ids
        ids_BT[row, : len(ids)] = torch.tensor(ids)
    length_B = lengths_R[rows]
    prompt_B = torch.tensor([len(response.prompt_token_ids) for response in chosen])
    row_N = torch.arange(len(chosen)).repeat_interleave(length_B)
    position_N = torch.arange(len(row_N)) - token_offsets(length_B)[row_N]
    query_N = prompt_B[row_N] + position_N - 1
    return Padded(
        ids_BT=ids_BT,
        query_N=row_N * width + query_N,
        target_N=ids_BT[row_N, query_N + 1],
        token_N=flat_tokens(rows, lengths_R),
    )
