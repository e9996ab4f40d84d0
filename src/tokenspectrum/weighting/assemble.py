"""Build the batch that a rule weighs, in one place for the weights stage and for training.

Knows what a rule looks at.  Knows no table and no model: the caller gives a Source of the numbers.
"""

from collections.abc import Sequence
from typing import Protocol

import torch

from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.rule import Memory, Rule, Score


class Source(Protocol):
    """The numbers of N response tokens: responses in order, positions ascending.  Each is computed only when needed."""

    def attention(self, score: Score) -> torch.Tensor:
        """float N: a statistic of the attention row, at the score's one layer and alignment."""

    def predictive_entropy(self) -> torch.Tensor:
        """float N, nats."""

    def loss_magnitude(self) -> torch.Tensor:
        """float N: |l_t|."""

    def token_types(self) -> torch.Tensor:
        """int64 N: a number for each token's type."""


def token_batch(
    rule: Rule,
    source: Source,
    *,
    lengths_R: torch.Tensor,
    seed: int,
    step: int,
    prompt_ids: Sequence[str],
    samples_R: torch.Tensor,
    minibatch_R: torch.Tensor,
    memory: Memory | None = None,
) -> TokenBatch:
    """The tokens of R responses (see TokenBatch) with only the numbers that `rule` needs."""
    score = rule.looks_at
    if score is None:
        scores = {}
    elif score.layer is not None:
        scores = {score.name: over_layers([source.attention(one) for one in score.by_layer])}
    else:
        scores = {score.name: getattr(source, score.name)()}
    if rule.needs_predictive:
        scores = {"predictive_entropy": source.predictive_entropy(), **scores}
    return TokenBatch(
        lengths_R=lengths_R,
        seed=seed,
        step=step,
        prompt_ids=prompt_ids,
        samples_R=samples_R,
        minibatch_R=minibatch_R,
        scores=scores,
        token_type_N=source.token_types() if rule.needs_types else None,
        memory=memory,
    )


def over_layers(scores: Sequence[torch.Tensor]) -> torch.Tensor:
    """The mean of a token's scores over layers, summed in float64; of one layer the scores as they are."""
    first = scores[0]
    return first if len(scores) == 1 else torch.stack([one.double() for one in scores]).mean(0).to(first.dtype)
