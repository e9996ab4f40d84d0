"""Responses in blocks that fit in memory, whatever the number of tokens.  Knows counts, not what the columns mean."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

BLOCK = 1_000_000  # tokens that are read at a time; a response is never divided


def blocks(responses: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """Responses that follow each other, as many as have BLOCK tokens together: `within` the first and the last.

    The columns are the ids `response_id`, the tokens `n`, and what a response is of, such as its base policy.  Rows
    come in order, and those of a block are of the same.
    """
    id_R, n_R = responses["response_id"], responses["n"]
    of = {name: values for name, values in responses.items() if name not in ("response_id", "n")}
    edges = [0, *np.flatnonzero(_changes(list(of.values()), len(id_R))) + 1, len(id_R)]
    for start, end in pairwise(edges):
        for first, last in spans(n_R[start:end], BLOCK):
            same = {name: values[start].item() for name, values in of.items()}
            yield same | {"within": (id_R[start + first].item(), id_R[start + last - 1].item())}


def _changes(columns: list[np.ndarray], rows: int) -> np.ndarray:
    """bool R - 1: whether a row differs from the one before it in one of the columns."""
    found = np.zeros(max(0, rows - 1), bool)
    for values in columns:
        found |= values[1:] != values[:-1]
    return found


def spans(n_R: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """First response and the one after the last, of as many as have `most` tokens together, and of one at least."""
    end_R = np.cumsum(n_R)
    first, before = 0, 0
    while first < len(n_R):
        last = max(first + 1, int(np.searchsorted(end_R, before + most, side="right")))
        yield first, last
        first, before = last, int(end_R[last - 1])
