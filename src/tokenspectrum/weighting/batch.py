"""The tokens that a rule weighs: the response tokens of a rollout batch, or of one of its mini-batches, unpadded.

Knows lengths, names and scores.  Knows no prompt text, no token ids, no rewards and no model.

Legend: R responses, N response tokens, S segments (what a threshold is set over).  All tensors are on the CPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from tokenspectrum.errors import UserError
from tokenspectrum.weighting.rule import Memory


@dataclass(frozen=True)
class TokenBatch:
    """Tokens by response, then by position: response r owns the next `lengths_R[r]` entries of every _N tensor.

    lengths_R       int64, tokens of each response, with its EOS if it has one; 0 is allowed
    seed, step      of the rollout batch as in the tables (step 0: the base policy's probe, 1: the first update's batch)
    prompt_ids      R strings;  samples_R int64: which of the prompt's n samples this is
    minibatch_R     int64, the mini-batch that will train on the response; all equal where there is only one
    scores          name -> float tensor N: the score that the rule looks at, at its layer and alignment
    token_type_N    int64, place of each token's type in tables.vocab.TYPES; None where the rule does not look at it
    memory          what a rule that looks back knows of the steps before; None for other rules, and for the base probe

    Raises ValueError where the shapes do not fit together (the caller's mistake, not the user's).
    """

    lengths_R: torch.Tensor
    seed: int
    step: int
    prompt_ids: Sequence[str]
    samples_R: torch.Tensor
    minibatch_R: torch.Tensor
    scores: Mapping[str, torch.Tensor]
    token_type_N: torch.Tensor | None = None
    memory: Memory | None = None

    def __post_init__(self) -> None:
        if self.lengths_R.dtype != torch.int64 or bool((self.lengths_R < 0).any()):
            raise ValueError("lengths_R must be int64 and not negative")
        per_response = {"prompt_ids": len(self.prompt_ids), "samples_R": len(self.samples_R)}
        per_response["minibatch_R"] = len(self.minibatch_R)
        for name, size in per_response.items():
            if size != len(self.lengths_R):
                raise ValueError(f"{name} has {size} entries for {len(self.lengths_R)} responses")
        per_token = (
            dict(self.scores) if self.token_type_N is None else {**self.scores, "token_type_N": self.token_type_N}
        )
        for name, value_N in per_token.items():
            if value_N.shape != (self.n_tokens,):
                raise ValueError(f"{name} has shape {tuple(value_N.shape)} for {self.n_tokens} tokens")

    @cached_property
    def n_tokens(self) -> int:
        return int(self.lengths_R.sum())

    @property
    def s(self) -> int:
        """Rollout batches before this one: s of ANCHOR eq. 29-30, 0 for the first update and for the base probe."""
        return max(self.step - 1, 0)

    @cached_property
    def response_N(self) -> torch.Tensor:
        """int64: the response that owns each token."""
        return torch.repeat_interleave(torch.arange(len(self.lengths_R)), self.lengths_R)

    @cached_property
    def position_N(self) -> torch.Tensor:
        """int64: the token's 0-based position t in its response."""
        start_R = self.lengths_R.cumsum(0) - self.lengths_R
        return torch.arange(self.n_tokens) - start_R[self.response_N]

    def segment_N(self, scope: str) -> torch.Tensor:
        """int64: the segment in which each token is ranked, by the rule's scope (response | minibatch | rollout)."""
        if scope == "response":
            return self.response_N
        if scope == "minibatch":
            return self.minibatch_R.to(torch.int64)[self.response_N]
        if scope == "rollout":
            return torch.zeros(self.n_tokens, dtype=torch.int64)
        raise ValueError(f"threshold scope {scope!r}: expected response, minibatch or rollout")

    def score_N(self, name: str) -> torch.Tensor:
        """The named score.  ValueError if it is missing; UserError that names the token if one is NaN or infinite."""
        if name not in self.scores:
            raise ValueError(f"the batch has no score {name!r}, only {sorted(self.scores)}")
        score_N = self.scores[name]
        finite_N = score_N.isfinite()
        if not bool(finite_N.all()):
            bad = int(finite_N.logical_not().nonzero()[0])
            r = int(self.response_N[bad])
            raise UserError(
                f"{name} is {float(score_N[bad])} at step {self.step}, prompt {self.prompt_ids[r]}, sample "
                f"{int(self.samples_R[r])}, position {int(self.position_N[bad])}: scores must be finite"
            )
        return score_N
