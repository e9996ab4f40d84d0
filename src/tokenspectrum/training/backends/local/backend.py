"""The local trainer: a model, its optimiser and the engine that samples from it, in this process and its forks.

It is the reference for every other trainer.  Knows PyTorch.  Knows no rules, no steps and no tables.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.save import save_policy
from tokenspectrum.rollout.engine import RolloutEngine
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.systems.shared_memory import keep_shared
from tokenspectrum.tokenlog.writer import sha256
from tokenspectrum.training.backends.local.pulls import cosine_to_full
from tokenspectrum.training.backends.local.tensors import read_tensors, restore, tensors_of, write_tensors
from tokenspectrum.training.backends.local.update import accumulate_gradient, gradient_sums, take_step
from tokenspectrum.training.dapo import Clip
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import MiniBatch, Updated, WholeRows


@dataclass(frozen=True)
class LocalBackend:
    """A training.backend.Backend."""

    job: TrainJob
    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    tokenizer: PreTrainedTokenizerBase
    engine: RolloutEngine
    sums: Sequence[torch.Tensor] | None = None
    ranks: ClassVar[int] = 1
    overlaps: ClassVar[bool] = False
    reward: ClassVar[None] = None

    @classmethod
    @contextmanager
    def start(cls, job: TrainJob, tokenizer: PreTrainedTokenizerBase) -> Iterator["LocalBackend"]:
        """The base policy with a fresh optimiser, and an engine that samples from it."""
        torch.set_num_threads(job.systems.threads)
        torch.manual_seed(job.seed)
        model, _ = load_policy(job.policy)
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=job.train.learning_rate,
            betas=job.train.betas,
            weight_decay=job.train.weight_decay,
            fused=True,
        )
        systems = job.systems
        engine = TransformersEngine(
            model,
            tokenizer,
            batch_rows=systems.generate_batch,
            share_prompts=systems.share_prompts,
            processes=systems.processes,
        )
        sums = None
        if systems.processes > 1:
            keep_shared(model, optimizer)
            # Memory that processes share is slow to come by, so it is asked for once.
            sums = gradient_sums(model, systems.processes)
        yield cls(job, model, optimizer, tokenizer, engine, sums)

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, step: int) -> Sequence[Response]:
        return self.engine.generate(prompts, sampling, seed=self.job.seed, step=step)

    def measure(
        self, responses: Sequence[Response], layers: Sequence[int], whole: WholeRows | None = None
    ) -> Statistics:
        return measure_responses(
            self.model,
            responses,
            layers=layers,
            alignment=self.job.alignment,
            local_window=self.job.train.token_log.local_window,
            micro_batch=self.job.systems.micro_batch,
            share_prompts=self.job.systems.share_prompts,
            processes=self.job.systems.processes,
            **({} if whole is None else whole.options()),
        )

    def cosine(self, responses: Sequence[Response], advantage_N: torch.Tensor, weight_N: torch.Tensor) -> float | None:
        return cosine_to_full(self.model, responses, advantage_N, weight_N, *self._shares())

    def _shares(self) -> tuple[int, bool, int]:
        """Into what a gradient's work is cut, and how many processes do it."""
        systems = self.job.systems
        return systems.micro_batch, systems.share_prompts, systems.processes

    def update(self, batch: MiniBatch, lr: float) -> Updated:
        train = self.job.train
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        clip = Clip(train.clip.low, train.clip.high, train.clip.dual)
        self.model.train()
        try:
            terms = accumulate_gradient(self.model, batch, clip, *self._shares(), self.sums)
            norm = take_step(self.model, self.optimizer, terms, train.grad_clip)
        finally:
            self.model.zero_grad()
            self.model.eval()
        return Updated(terms.loss, norm, terms.ratio_N, terms.loss_N)

    def save(self, folder: Path, step: int) -> None:
        write_tensors(folder, tensors_of(self.model, self.optimizer))

    def digests(self, folder: Path) -> Mapping[str, str]:
        return {path.name: sha256(path) for path in sorted(folder.glob("*"))}

    def resume(self, folder: Path) -> None:
        restore(self.model, self.optimizer, read_tensors(folder))

    def export(self, folder: Path) -> None:
        save_policy(self.model, self.tokenizer, folder)
