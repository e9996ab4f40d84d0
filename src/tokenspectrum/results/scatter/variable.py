"""One score of every token of a base policy: its values, its ranks, and of which tokens it is.

It is read some responses at a time, and the rest is on the disk: memory does not grow with the tokens.

Legend: N tokens of a block of whole responses; R responses of a block.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tokenspectrum.results.ascending import in_order
from tokenspectrum.results.scatter.ranks import Ranks


class Variable:
    """First `add` all blocks, then `settle`, then go through them."""

    def __init__(self, folder: Path):
        self.n, self.mean = 0, np.float64(0)
        self.ends = np.array([np.inf, -np.inf])
        self.responses: list[np.ndarray] = []
        self.tokens: list[bytes] = []
        self._ranks, self._sum = Ranks(folder), np.float64(0)

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """One block: response_id, position, value."""
        columns = in_order(columns)
        value_N = columns["value"]
        self.responses.append(np.unique(columns["response_id"], return_counts=True)[1])
        place_2N = np.stack([columns["response_id"], columns["position"]])
        self.tokens.append(hashlib.sha256(place_2N.tobytes()).digest())
        self.ends = np.array([np.minimum(self.ends[0], value_N.min()), np.maximum(self.ends[1], value_N.max())])
        self.n += len(value_N)
        self._sum += value_N.astype(np.float64).sum()
        self._ranks.add(value_N)

    def settle(self) -> None:
        """After the last block."""
        self.mean = np.clip(self._sum / self.n, *self.ends)  # that of equal values is each of them
        self._ranks.settle()

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """float64 N twice: the values of each block, and their ranks."""
        for r in range(len(self.responses)):
            value_N, rank_N = self._ranks.block(r)
            yield value_N.astype(np.float64), rank_N
