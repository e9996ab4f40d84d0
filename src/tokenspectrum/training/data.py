"""Which prompts a step trains on: each epoch has a seeded order, and a position in the order names a batch.

The batch is a pure function of the position, so a checkpoint need not hold it.  Knows ids.  Knows no text, no policy
and no rewards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tokenspectrum.counter import hash_bits, stream_key
from tokenspectrum.errors import UserError


def seeded_order(prompt_ids: Sequence[str], domain: str, seed: int, turn: int) -> list[int]:
    """Indices of `prompt_ids` in an order that depends on (domain, seed, turn) and the ids, not on their places."""
    keys_N = np.array([stream_key(domain, seed, turn, prompt_id, 0) for prompt_id in prompt_ids], dtype=np.uint64)
    bits = hash_bits(keys_N, np.zeros(1)).tolist()
    return sorted(range(len(prompt_ids)), key=lambda i: (bits[i], prompt_ids[i]))


@dataclass(frozen=True)
class PromptOrder:
    """Batches of `size` prompts, epoch after epoch.  Prompts that fill no batch at an epoch's end are dropped.

    Raises UserError if there are fewer prompts than one batch needs.
    """

    prompt_ids: tuple[str, ...]
    seed: int
    size: int

    def __post_init__(self) -> None:
        if len(self.prompt_ids) < self.size:
            raise UserError(
                f"{len(self.prompt_ids)} training prompts are fewer than one batch of {self.size}: "
                "lower train.prompts_per_step or raise the limit of prompts.train"
            )

    def batch(self, position: int) -> list[int]:
        """Indices into `prompt_ids` of the batch at `position`: the number of batches drawn before it."""
        epoch, place = divmod(position, len(self.prompt_ids) // self.size)
        order = _epoch(self.prompt_ids, self.seed, epoch)
        return order[place * self.size : (place + 1) * self.size]


@lru_cache(maxsize=2)
def _epoch(prompt_ids: tuple[str, ...], seed: int, epoch: int) -> list[int]:
    return seeded_order(prompt_ids, "epoch", seed, epoch)
