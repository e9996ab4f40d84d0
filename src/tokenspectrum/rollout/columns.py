"""Responses as columns of the token tables, for the base policy's probe and for every training step.

Knows responses, statistics and the names of columns.  Knows no rewards, no weights and no files.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tokenspectrum.rollout.types import Prompt, Response

if TYPE_CHECKING:
    from tokenspectrum.rollout.statistics import Statistics


def token_keys(responses: Sequence[Response]) -> dict[str, np.ndarray]:
    """response_id and position of every response token, responses in order."""
    lengths = [len(response.token_ids) for response in responses]
    response_id_N = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    start_N = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return {"response_id": response_id_N, "position": (np.arange(len(start_N)) - start_N).astype(np.int32)}


def sampled_columns(responses: Sequence[Response]) -> dict[str, np.ndarray]:
    """Columns of the table `sampled`.  They are also the first columns of the table `tokens`."""
    chain = itertools.chain.from_iterable
    return {
        **token_keys(responses),
        "token_id": np.fromiter(chain(response.token_ids for response in responses), np.int32),
        "rollout_logprob": np.fromiter(chain(response.logprobs for response in responses), np.float32),
    }


def prompt_columns(prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Columns of the table `prompt_tokens`."""
    return {
        "prompt_id": [p.prompt_id for p in prompts],
        "token_ids": [list(p.token_ids) for p in prompts],
        "n_dropped": [p.n_dropped for p in prompts],
    }


def attention_columns(
    measured: "Statistics", responses: Sequence[Response], layers: Sequence[int]
) -> dict[str, np.ndarray]:
    """Columns of the table `attention`, layer after layer: the statistics that `measured` has of these layers."""
    columns = {name: np.tile(key_N, len(layers)) for name, key_N in token_keys(responses).items()}
    columns["layer"] = np.repeat(np.array(layers, np.int32), len(measured.logprob_N))
    for field, value in vars(measured.attention[layers[0]]).items():
        if value is not None:
            of_layers = [getattr(measured.attention[layer], field).numpy() for layer in layers]
            columns[field.removesuffix("_N")] = np.concatenate(of_layers)
    return columns


def row_columns(measured: "Statistics", tokens: Sequence[tuple[int, int]], layers: Sequence[int]) -> dict[str, Any]:
    """Columns of the table `attention_rows`, layer after layer; `tokens` has (response_id, position) of each row."""
    rows = [row.numpy().astype(np.float16) for layer in layers for row in measured.rows[layer]]
    return {
        "response_id": [response_id for response_id, _ in tokens] * len(layers),
        "position": [position for _, position in tokens] * len(layers),
        "layer": np.repeat(np.array(layers, np.int32), len(tokens)),
        "row": pa.array(rows, pa.list_(pa.float16())),
    }
