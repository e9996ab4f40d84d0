"""One score of every token of a base policy: its values, its ranks, and of which tokens it is.

It is read some responses at a time, and the rest is on the disk: memory does not grow with the tokens.

Legend: N tokens of a block of whole responses; R responses of a block.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from tokenspectrum.results.ascending import in_order
from tokenspectrum.results.scatter.ranks import Ranks


class Variable:
    """`blocks` are the columns response_id, position and value, some responses at a time.

    tokens     a digest of the tokens of each block
    responses  the tokens of each response, of each block
    ends       the least and the greatest value
    """

    def __init__(self, folder: Path, blocks: Iterable[Mapping[str, np.ndarray]]):
        self.n, self.mean = 0, np.float64(0)
        self.ends = np.array([np.inf, -np.inf])
        self.responses: list[np.ndarray] = []
        self.tokens: list[bytes] = []
        self._ranks, self._sum = Ranks(folder), np.float64(0)
        for columns in blocks:
            self._add(columns)
        self.mean = np.clip(self._sum / max(1, self.n), *self.ends)  # that of equal values is each of them
        self._ranks.settle()

    def _add(self, columns: Mapping[str, np.ndarray]) -> None:
        columns = in_order(columns)
        value_N = columns["value"]
        self.responses.append(np.unique(columns["response_id"], return_counts=True)[1])
        place_2N = np.stack([columns["response_id"], columns["position"]])
        self.tokens.append(hashlib.sha256(place_2N.tobytes()).digest())
        self.ends = np.array([np.minimum(self.ends[0], value_N.min()), np.maximum(self.ends[1], value_N.max())])
        self.n += len(value_N)
        self._sum += value_N.astype(np.float64).sum()
        self._ranks.add(value_N)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """float64 N twice: the values of each block, and their ranks."""
        for r in range(len(self.responses)):
            value_N, rank_N = self._ranks.block(r)
            yield value_N.astype(np.float64), rank_N
