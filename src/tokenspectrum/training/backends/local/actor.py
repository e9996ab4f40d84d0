"""The policy of the local trainer: a model and its optimiser in this process.

Knows PyTorch.  Knows no rules, no steps and no files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from tokenspectrum.rollout.score import score_responses
from tokenspectrum.rollout.scores import Scores
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.backends.local.update import accumulate_gradient, take_step
from tokenspectrum.training.dapo import Clip
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import MiniBatch, Updated, WholeRows


@dataclass(frozen=True)
class LocalActor:
    """A step.Actor."""

    job: TrainJob
    model: PreTrainedModel
    optimizer: torch.optim.Optimizer

    def score(self, responses: Sequence[Response], layers: Sequence[int], whole: WholeRows | None = None) -> Scores:
        return score_responses(
            self.model,
            responses,
            layers=layers,
            alignment=self.job.alignment,
            local_window=self.job.train.token_log.local_window,
            micro_batch=self.job.systems.micro_batch,
            **({} if whole is None else whole.options()),
        )

    def update(self, batch: MiniBatch, lr: float) -> Updated:
        train = self.job.train
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        clip = Clip(train.clip.low, train.clip.high, train.clip.dual)
        self.model.train()
        try:
            terms = accumulate_gradient(self.model, batch, clip, self.job.systems.micro_batch)
            norm = take_step(self.model, self.optimizer, terms, train.grad_clip)
        finally:
            self.model.eval()
        return Updated(terms.loss, norm, terms.ratio_N, terms.loss_N)
