"""Part of a batch: all responses to some of its prompts.  Knows no model and no table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenspectrum.rollout.types import Response
from tokenspectrum.training.data import seeded_order


@dataclass(frozen=True)
class Part:
    """Some responses of a batch, with what an update needs of them.  A gradients.update.Batch."""

    seed: int
    responses: Sequence[Response]
    lengths: np.ndarray
    advantage_R: np.ndarray
    correct_R: np.ndarray


def of_chosen_prompts(prompt_ids: Sequence[str], count: int, domain: str, seed: int, step: int) -> list[int]:
    """Indices of all responses to `count` prompts (all, if there are fewer), ascending.  `prompt_ids`: one a response.

    A hash of (domain, seed, step, prompt) chooses.
    """
    known = sorted(set(prompt_ids))
    kept = {known[i] for i in seeded_order(known, domain, seed, step)[:count]}
    return [r for r, prompt_id in enumerate(prompt_ids) if prompt_id in kept]
