"""The interface of every trainer.  Knows no implementation.

The loop (loop.py) decides what is done and when.  A backend decides how and where it is done.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch

from tokenspectrum.rollout.judged import Reward
from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.training.record import MiniBatch, Updated, WholeRows


class Actor(Protocol):
    """The policy that a step trains, with its optimiser.  Raises UserError on what is not finite."""

    def measure(
        self, responses: Sequence[Response], layers: Sequence[int], whole: WholeRows | None = None
    ) -> Statistics:
        """Log-probability, predictive entropy and attention statistics under the policy as it is now.

        Like rollout.measure.measure_responses, with the alignment and local window of the job.
        """
        ...

    def cosine(self, responses: Sequence[Response], advantage_N: torch.Tensor, weight_N: torch.Tensor) -> float | None:
        """Of the weighted responses' gradient to that of all their tokens, at ratio 1, before clip and optimiser.

        None if one of the two is 0.  UserError from a trainer that does not measure it.
        """
        ...

    def update(self, batch: MiniBatch, lr: float) -> Updated:
        """One optimiser step on one mini-batch; no step if D = 0."""
        ...


class Stored(Protocol):
    """The policy and its optimiser as files of a checkpoint.

    ranks   processes that each hold a part.  A checkpoint of one number of ranks does not fit another number
    """

    @property
    def ranks(self) -> int: ...

    def save(self, folder: Path, step: int) -> None:
        """Write into the empty `folder` all that is needed to continue after `step`."""
        ...

    def digests(self, folder: Path) -> Mapping[str, str]:
        """sha256 of every file in such a folder, by its relative path."""
        ...

    def resume(self, folder: Path) -> None:
        """Restore what was saved, bit for bit.  Raises DamagedError if it is not of this policy."""
        ...


class Backend(Actor, Stored, Protocol):
    """A trainer: the policy, its optimiser and the engine that samples from it.

    overlaps   whether a step's log may be written while the next step runs, since the policy is in other processes
    reward     computes the rewards in other processes; None if the loop computes them itself
    """

    @property
    def overlaps(self) -> bool: ...

    @property
    def reward(self) -> Reward | None: ...

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, step: int) -> Sequence[Response]:
        """Responses from the policy as it is now, as rollout.engine.RolloutEngine gives them."""
        ...

    def export(self, folder: Path) -> None:
        """Write the policy as a Hugging Face folder."""
        ...
