"""The tokens of a block of responses, in order.  Knows arrays, not what the columns mean.

Legend: N tokens of the block; R its responses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tokenspectrum.errors import UserError
from tokenspectrum.results.ascending import in_order


@dataclass(frozen=True)
class Responses:
    """Where the tokens of a block stand: responses ascending, and positions ascending within them."""

    id_R: np.ndarray
    start_R: np.ndarray
    n_R: np.ndarray
    position_N: np.ndarray

    def sums(self, value_N: np.ndarray) -> np.ndarray:
        """Sum over the tokens of each response."""
        return np.add.reduceat(value_N, self.start_R, dtype=np.int64 if value_N.dtype == bool else None)

    def check_same(self, other: "Responses", attention: Path, tokens: Path) -> None:
        """UserError where `other`, of a layer in `attention`, is not of the same tokens as this, of `tokens`."""
        pairs = ((self.id_R, other.id_R), (self.n_R, other.n_R), (self.position_N, other.position_N))
        if not all(np.array_equal(a, b) for a, b in pairs):
            raise UserError(f"{attention}: its layers and {tokens} hold different tokens; run the tokens stage again")


def in_responses(columns: Mapping[str, np.ndarray]) -> tuple[Responses, dict[str, np.ndarray]]:
    """The responses of a block, and its other columns in the order of their tokens."""
    given = in_order(columns)
    id_R, start_R, n_R = np.unique(given.pop("response_id"), return_index=True, return_counts=True)
    return Responses(id_R, start_R, n_R, given.pop("position")), given


def check_numbers(value_N: np.ndarray, what: str) -> np.ndarray:
    """The same values; UserError where one is no number.  `what` says whose they are."""
    if not np.isfinite(np.ma.filled(value_N, np.nan)).all():
        raise UserError(f"{what}: holds scores that are no numbers; run the tokens stage again")
    return value_N
