"""Choose the responses that get statistics of whole attention rows, and the tokens whose rows are logged.

A hash chooses, so neither batching nor resuming changes the choice.  Knows no model and no tables.
"""

from collections.abc import Sequence

import numpy as np

from tokenspectrum.counter import hash_bits, stream_key
from tokenspectrum.rollout.types import Response


def chosen_responses(responses: Sequence[Response], count: int, seed: int, step: int) -> list[int]:
    """Indices of `count` responses (all, if there are fewer), ascending."""
    first = hash_bits(_keys(responses, seed, step), np.zeros(1)).tolist()
    return sorted(sorted(range(len(responses)), key=lambda r: (first[r], r))[:count])


def chosen_tokens(responses: Sequence[Response], count: int, seed: int, step: int) -> list[tuple[int, int]]:
    """(index of response, position) of `count` of their tokens (all, if there are fewer), ascending."""
    lengths = [len(response.token_ids) for response in responses]
    keys_N = np.repeat(_keys(responses, seed, step), lengths)
    pairs = [(r, t) for r, length in enumerate(lengths) for t in range(length)]
    # Counter 0 is used to choose the response, so its tokens start at 1.
    bits_N = hash_bits(keys_N, np.array([t + 1 for _, t in pairs], dtype=np.uint64))
    return [pairs[i] for i in sorted(np.argsort(bits_N, kind="stable")[:count].tolist())]


def _keys(responses: Sequence[Response], seed: int, step: int) -> np.ndarray:
    keys = [stream_key("rows", seed, step, response.prompt_id, response.sample) for response in responses]
    return np.array(keys, dtype=np.uint64)
