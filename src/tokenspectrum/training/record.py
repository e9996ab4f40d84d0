"""The values that the parts of a training step pass to each other, and the record of a step for the log.

The same for all trainers.  Knows no model, no optimiser and no file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from tokenspectrum.rollout.judged import Judged
from tokenspectrum.rollout.statistics import Statistics
from tokenspectrum.rollout.types import Response
from tokenspectrum.weighting.rule import Seen


@dataclass(frozen=True)
class Rollouts:
    """A rollout batch, prompt-major: R judged responses, their lengths, and the mini-batch that trains on each.

    generated  number of prompts sampled for this step
    kept       number of prompts trained on whose responses have different rewards
    """

    judged: Judged
    lengths_R: torch.Tensor
    minibatch_R: torch.Tensor
    generated: int
    kept: int

    @property
    def responses(self) -> Sequence[Response]:
        return self.judged.responses

    @property
    def seen(self) -> Seen:
        """What a rule that looks back learns of this batch."""
        rewards = [s.reward for s in self.judged.rewarded]
        return Seen(sum(rewards) / len(rewards), float(self.lengths_R.double().mean()))


@dataclass(frozen=True)
class MiniBatch:
    """What one update trains on.  R responses, N their tokens in order; all tensors but the responses are flat.

    old_logprob_N  of the policy that the step began with;  advantage_N of each token's response;  weight_N >= 0
    denominator    "selected" (D = sum of weights) or "all" (D = N)
    rho_N          the correction of each token (correction.py), which is not in D; None: 1
    """

    responses: Sequence[Response]
    old_logprob_N: torch.Tensor
    advantage_N: torch.Tensor
    weight_N: torch.Tensor
    denominator: str
    rho_N: torch.Tensor | None = None

    @property
    def factor_N(self) -> torch.Tensor:
        """What multiplies l_t: w_t rho_t."""
        return self.weight_N if self.rho_N is None else self.weight_N * self.rho_N


@dataclass(frozen=True)
class Update:
    """The outcome of a mini-batch: S_m before its update, its loss, its gradient's norm (None: D = 0, no step)."""

    s_m: float
    loss: float
    grad_norm: float | None


@dataclass(frozen=True)
class Updated:
    """The outcome of an optimiser step: sum w l / D, and the gradient's norm before clipping (None: D = 0, no step).

    ratio_N, loss_N  the ratio and clipped term of each of its tokens at the update
    """

    loss: float
    grad_norm: float | None
    ratio_N: torch.Tensor
    loss_N: torch.Tensor


@dataclass(frozen=True)
class WholeRows:
    """What to compute from whole attention rows: the entropies of the top k and fixed K, the support, the rows.

    tokens   (response index, position) of the tokens whose rows are returned
    """

    top_k: int
    fixed_k: int
    tokens: Sequence[tuple[int, int]]

    def options(self) -> dict[str, Any]:
        """As arguments of rollout.measure.measure_responses."""
        return {"top_k": self.top_k, "fixed_k": self.fixed_k, "support": True, "rows": self.tokens}


@dataclass(frozen=True)
class RowSample:
    """Statistics that need the whole attention row, of some responses: `response_ids`, ascending.

    measured  of those responses alone, in that order;  tokens (index into response_ids, position) of the rows in it
    """

    response_ids: Sequence[int]
    responses: Sequence[Response]
    measured: Statistics
    tokens: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class StepRecord:
    """All values of a step that are logged.  _N: every response token of the rollout batch, in order.

    cosine    what Actor.cosine measured; None on a step without a gradient probe
    realised  the rule's own values by name (weighting.apply.Weights.extra), numbers as means over mini-batches;
              what a gradient probe and the correction came to, where there are these
    """

    step: int
    lr: float
    rollouts: Rollouts
    measured: Statistics
    row_sample: RowSample | None
    weight_N: torch.Tensor
    ratio_N: torch.Tensor
    loss_N: torch.Tensor
    updates: tuple[Update, ...]
    score_at_cut: float | None
    cosine: float | None
    realised: Mapping[str, float | str]

    @property
    def seen(self) -> Seen:
        """What a rule that looks back learns of this step."""
        return replace(self.rollouts.seen, cosine=self.cosine)
