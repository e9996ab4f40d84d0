"""The policy of a run on verl, as a training step sees it.

Knows what to ask of verl's trainer.  Knows neither verl nor rules, steps and files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tokenspectrum.rollout.scores import Scores
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.backends.verl.request import AttentionRequest
from tokenspectrum.training.backends.verl.trainer import VerlTrainer
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import MiniBatch, Updated, WholeRows


@dataclass(frozen=True)
class VerlActor:
    """A step.Actor: its model is sharded over verl's workers."""

    job: TrainJob
    trainer: VerlTrainer

    def score(self, responses: Sequence[Response], layers: Sequence[int], whole: WholeRows | None = None) -> Scores:
        asked = AttentionRequest(tuple(layers), self.job.alignment, self.job.train.token_log.local_window)
        if whole is not None:
            asked = replace(asked, top_k=whole.top_k, fixed_k=whole.fixed_k, support=True)
        return self.trainer.score(responses, asked if layers else None, whole.tokens if whole else ())

    def update(self, batch: MiniBatch, lr: float) -> Updated:
        return self.trainer.update(batch, lr)
