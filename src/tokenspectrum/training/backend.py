"""What a trainer must be able to do: the interface that every trainer has.  Knows no implementation.

The loop (loop.py) decides what is done and when.  A backend decides how and where.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

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

        As rollout.measure.measure_responses, whose alignment and local window are the job's.
        """
        ...

    def update(self, batch: MiniBatch, lr: float) -> Updated:
        """One optimiser step on one mini-batch; none where D = 0."""
        ...


class Stored(Protocol):
    """The policy and its optimiser as files of a checkpoint.

    ranks   processes that each hold a part of it: parts of one number do not fit another
    """

    @property
    def ranks(self) -> int: ...

    def save(self, folder: Path, step: int) -> None:
        """Write all that is needed to go on after `step` into the empty `folder`."""
        ...

    def digests(self, folder: Path) -> Mapping[str, str]:
        """sha256 of every file that lies in such a folder, by its path relative to it."""
        ...

    def resume(self, folder: Path) -> None:
        """Go back to what was saved, bit for bit.  Raises DamagedError where it is not of this policy."""
        ...


class Backend(Actor, Stored, Protocol):
    """A trainer: policy, optimiser and what samples from it.

    overlaps   whether a step's log may be written while the next step runs: the policy lives in other processes
    reward     finds the rewards in other processes; None: the loop finds them itself
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
