"""A run on verl as the training loop sees it: policy and optimiser are sharded over workers, and vLLM samples.

vLLM and the actor share the GPUs.  So vLLM wakes with the new weights before it samples, and sleeps before the actor
works.  Knows what to ask of verl's trainer, and in which order.  Knows no verl, no rules, no steps and no tables.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch

from tokenspectrum.errors import UserError
from tokenspectrum.reward.rewarded import Rewarded
from tokenspectrum.rollout.questions import Question
from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.training.backends.verl.controller import VerlTrainer
from tokenspectrum.training.backends.verl.export import export_policy
from tokenspectrum.training.backends.verl.request import AttentionRequest
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import MiniBatch, Updated, WholeRows


@dataclass
class VerlBackend:
    """A training.backend.Backend; `beat` is called as the work goes on."""

    job: TrainJob
    trainer: VerlTrainer
    beat: Callable[[], None]
    overlaps: ClassVar[bool] = True
    _awake: bool = field(default=False, init=False)

    @property
    def ranks(self) -> int:
        verl = self.job.systems.verl
        assert verl is not None, "params are refused without it where the trainer is verl"
        return verl.world_size

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, step: int) -> Sequence[Response]:
        if not self._awake:
            self.trainer.hand_over(step - 1)
            self._awake = True
            self.beat()
        return self.trainer.generate(prompts, sampling, step, self.beat)

    def reward(self, questions: Sequence[Question], responses: Sequence[Response]) -> Sequence[Rewarded]:
        return self.trainer.reward(questions, responses)

    def measure(
        self, responses: Sequence[Response], layers: Sequence[int], whole: WholeRows | None = None
    ) -> Statistics:
        self._rest()
        asked = AttentionRequest(tuple(layers), self.job.alignment, self.job.train.token_log.local_window)
        if whole is not None:
            asked = replace(asked, top_k=whole.top_k, fixed_k=whole.fixed_k, support=True)
        return self.trainer.measure(responses, asked if layers else None, whole.tokens if whole else ())

    def cosine(self, responses: Sequence[Response], advantage_N: torch.Tensor, weight_N: torch.Tensor) -> float | None:
        raise UserError(f"rules.{self.job.method}.probe_every: trainer verl measures no gradient; use 0")

    def update(self, batch: MiniBatch, lr: float) -> Updated:
        self._rest()
        return self.trainer.update(batch, lr)

    def save(self, folder: Path, step: int) -> None:
        self.trainer.actor_rollout_wg.save_checkpoint(str(folder), None, step, None)

    def digests(self, folder: Path) -> Mapping[str, str]:
        """Each rank reads its own shards."""
        found = self.trainer.actor_rollout_wg.checksums(str(folder))
        return {name: digest for of_rank in found for name, digest in of_rank.items()}

    def resume(self, folder: Path) -> None:
        self.trainer.actor_rollout_wg.load_checkpoint(str(folder))

    def export(self, folder: Path) -> None:
        export_policy(self.trainer.actor_rollout_wg, self.job.policy, folder, self.job.train.dtype)

    def _rest(self) -> None:
        if self._awake:
            self.trainer.rest()
            self._awake = False
