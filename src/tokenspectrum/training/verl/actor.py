"""The policy of a run on verl, as a training step sees it.

Knows what to ask of verl's trainer.  Knows neither verl nor rules, steps and files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenspectrum.rollout.score import Scores
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import Updated
from tokenspectrum.training.update import MiniBatch
from tokenspectrum.training.verl.request import AttentionRequest, UpdateRequest
from tokenspectrum.training.verl.trainer import VerlTrainer


@dataclass(frozen=True)
class VerlActor:
    """A step.Actor: its model is sharded over verl's workers."""

    job: TrainJob
    trainer: VerlTrainer

    def score(
        self,
        responses: Sequence[Response],
        layers: Sequence[int],
        *,
        top_k: int | None = None,
        fixed_k: int | None = None,
        support: bool = False,
        rows: Sequence[tuple[int, int]] = (),
    ) -> Scores:
        window = self.job.train.token_log.local_window
        asked = AttentionRequest(tuple(layers), self.job.alignment, window, top_k, fixed_k, support)
        return self.trainer.score(responses, asked if layers else None, rows)

    def update(self, batch: MiniBatch, lr: float) -> Updated:
        clip = self.job.train.clip
        done = self.trainer.update(batch, UpdateRequest(lr, 1 - clip.low, 1 + clip.high))
        return done or Updated(0.0, None, 0)
