"""Apply a rule to a batch: the one call that the weights stage and both trainers make.

Knows no rule by name.  Knows no advantage: weights multiply it later, so groups with advantage 0 get weights too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.rule import Rule


@dataclass(frozen=True)
class Weights:
    """A rule's weight of every token of a batch, with summary numbers.

    weight_N        float32, >= 0;  selected_N bool
    score_N         float32: the score that the rule looked at; NaN if it looks at nothing
    kept_fraction   tokens with a positive weight / tokens
    score_at_cut    mean over segments of the score of the last token kept; None if nothing is ranked
    extra           always "effective_sample_size" = (sum w)^2 / sum w^2; ranked rules add cut_min and cut_max; soft
                    rules add mean_abar, max_abar, h_min, h_max, flat (1: all equal), w_low, w_high, ramp, and with a
                    floor at_floor; adaptive adds the reason for its ramp; covariate-matched adds overlap
    """

    weight_N: torch.Tensor
    selected_N: torch.Tensor
    score_N: torch.Tensor
    kept_fraction: float
    score_at_cut: float | None
    extra: Mapping[str, float | str]


def apply(rule: Rule, batch: TokenBatch) -> Weights:
    """Weigh `batch` under `rule`.

    The batch is the whole rollout batch.  If `rule.needs_current`, it is one mini-batch instead, and its scores are of
    the policy just before that mini-batch's update.  Raises UserError for scores that are not finite.
    """
    outcome = rule.weigh(batch)
    extra: dict[str, float | str] = dict(outcome.extra, effective_sample_size=effective_sample_size(outcome.weight_N))
    score_at_cut = None
    if outcome.cut_S is not None and len(outcome.cut_S):
        score_at_cut = float(outcome.cut_S.double().mean())
        extra |= {"cut_min": float(outcome.cut_S.min()), "cut_max": float(outcome.cut_S.max())}
    weight_N, score_N = outcome.weight_N.float(), outcome.score_N
    return Weights(
        weight_N=weight_N,
        selected_N=outcome.selected_N,
        score_N=torch.full((batch.n_tokens,), torch.nan) if score_N is None else score_N.float(),
        kept_fraction=int((weight_N > 0).sum()) / max(batch.n_tokens, 1),
        score_at_cut=score_at_cut,
        extra=extra,
    )


def effective_sample_size(weight_N: torch.Tensor) -> float:
    """(sum w)^2 / sum w^2, in tokens; 0 if all weights are 0."""
    weight_N = weight_N.double()
    square = float(weight_N.square().sum())
    return float(weight_N.sum()) ** 2 / square if square else 0.0
