"""Weights of a step's responses: what its rule needs is put together here, for every trainer.

Knows rollouts, scores and rules.  Knows no model: whoever calls says whose scores they are.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch

from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.policy.vocab import TYPES, vocab_columns
from tokenspectrum.rollout.scores import Scores
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.dapo import Clip, clipped_loss
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import Rollouts
from tokenspectrum.weighting.apply import Weights, apply, needs_types
from tokenspectrum.weighting.batch import TokenBatch


def weigh(
    job: TrainJob, step: int, rollouts: Rollouts, rows: torch.Tensor, scores: Scores, old_logprob_N: torch.Tensor
) -> Weights:
    """The rule's weights on the tokens of the responses `rows`, all of them or one mini-batch where `needs_current`.

    `scores` are of those responses under the policy that the rule looks at; `old_logprob_N` is of the policy that the
    step began with.  As long as that is the same policy the log-probabilities must be the same numbers: the magnitude
    of the loss is then the same for all tokens of a response, and float noise must not rank them.
    """
    rule, lengths_R = job.rule, rollouts.lengths_R[rows]
    named = {"predictive_entropy": scores.predictive_entropy_N}
    if rule.layer is not None:
        attention = scores.attention[rule.layer]
        named |= {"entropy_norm": attention.entropy_norm_N, "entropy_raw": attention.entropy_raw_N}
    if rule.score == "loss_magnitude":
        advantage_N = rollouts.judged.advantage_R[rows].repeat_interleave(lengths_R)
        clip = Clip(job.train.clip.low, job.train.clip.high, job.train.clip.dual)
        named["loss_magnitude"] = clipped_loss(scores.logprob_N, old_logprob_N, advantage_N, clip).abs()
    responses = [rollouts.responses[r] for r in rows.tolist()]
    batch = TokenBatch(
        lengths_R=lengths_R,
        seed=job.seed,
        step=step,
        prompt_ids=[response.prompt_id for response in responses],
        samples_R=torch.tensor([response.sample for response in responses], dtype=torch.int64),
        minibatch_R=rollouts.minibatch_R[rows],
        scores=named,
        token_type_N=_types(job.policy, responses) if needs_types(rule) else None,
    )
    return apply(rule, batch)


def _types(policy: Path, responses: Sequence[Response]) -> torch.Tensor:
    ids_N = torch.tensor([i for response in responses for i in response.token_ids], dtype=torch.int64)
    return _types_of_vocabulary(policy)[ids_N]


@lru_cache(maxsize=1)
def _types_of_vocabulary(policy: Path) -> torch.Tensor:
    """int64: a number for the type of each token id."""
    return torch.tensor([TYPES.index(name) for name in vocab_columns(load_tokenizer(policy), "")["type"]])
