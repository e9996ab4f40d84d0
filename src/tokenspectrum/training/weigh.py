"""Compute the weights of a step's responses, for every trainer.  The rule gets its scores here.

Knows rollouts, statistics and rules.  Knows no model: the caller says which policy the statistics are of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.policy.vocab import vocab_columns
from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Response
from tokenspectrum.tables.vocab import TYPES
from tokenspectrum.training.dapo import Clip, clipped_loss
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import Rollouts
from tokenspectrum.weighting.apply import Weights, apply
from tokenspectrum.weighting.assemble import token_batch
from tokenspectrum.weighting.rule import Memory, Score


def weigh(
    job: TrainJob,
    step: int,
    rollouts: Rollouts,
    rows: torch.Tensor,
    measured: Statistics,
    old_logprob_N: torch.Tensor,
    memory: Memory | None = None,
) -> Weights:
    """The rule's weights on the tokens of the responses `rows`: all, or one mini-batch if `rule.needs_current`.

    `measured` are the statistics of those responses under the policy that the rule looks at.  `old_logprob_N` is of the
    policy with which the step began.  While both are the same policy, the log-probabilities must be the same numbers.
    Then the magnitude of the loss is equal for all tokens of a response, and float noise does not rank them.  `memory`
    is what a rule that looks back knows of the steps before.
    """
    responses = [rollouts.responses[r] for r in rows.tolist()]
    lengths_R = rollouts.lengths_R[rows]
    advantage_N = rollouts.judged.advantage_R[rows].repeat_interleave(lengths_R)
    batch = token_batch(
        job.rule,
        _Step(job, responses, measured, old_logprob_N, advantage_N),
        lengths_R=lengths_R,
        seed=job.seed,
        step=step,
        prompt_ids=[response.prompt_id for response in responses],
        samples_R=torch.tensor([response.sample for response in responses], dtype=torch.int64),
        minibatch_R=rollouts.minibatch_R[rows],
        memory=memory,
    )
    return apply(job.rule, batch)


@dataclass(frozen=True)
class _Step:
    """A step's responses as a Source of what a rule looks at."""

    job: TrainJob
    responses: Sequence[Response]
    measured: Statistics
    old_logprob_N: torch.Tensor
    advantage_N: torch.Tensor

    def attention(self, score: Score) -> torch.Tensor:
        if not isinstance(score.layer, int):
            raise ValueError(f"{score.name}: a score of the attention row at one layer, not at {score.layer}")
        return getattr(self.measured.attention[score.layer], f"{score.name}_N")

    def predictive_entropy(self) -> torch.Tensor:
        return self.measured.predictive_entropy_N

    def loss_magnitude(self) -> torch.Tensor:
        clip = Clip(self.job.train.clip.low, self.job.train.clip.high, self.job.train.clip.dual)
        return clipped_loss(self.measured.logprob_N, self.old_logprob_N, self.advantage_N, clip).abs()

    def token_types(self) -> torch.Tensor:
        ids_N = torch.tensor([i for response in self.responses for i in response.token_ids], dtype=torch.int64)
        return _types_of_vocabulary(self.job.policy)[ids_N]


@lru_cache(maxsize=1)
def _types_of_vocabulary(policy: Path) -> torch.Tensor:
    """int64: a number for the type of each token id."""
    return torch.tensor([TYPES.index(name) for name in vocab_columns(load_tokenizer(policy), "")["type"]])
