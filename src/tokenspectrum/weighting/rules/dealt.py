"""Controls of soft rules: the same weights, but not on the tokens that earned them.

What a soft rule does beside choosing tokens is to make the step smaller and the weights uneven.  `equal-mean` keeps the
smaller step alone.  `shuffled` and `permuted-entropy` keep the uneven weights of each response too.

A token's weight follows from its own score and from the batch's extremes, which a permutation within responses leaves
alone.  So on these rules shuffled weights and permuted entropies are one control, drawn twice by hashes of their own:
their difference is a difference of chance.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tokenspectrum.weighting.rules._control import Control
from tokenspectrum.weighting.rules.soft import High2Low, Low2High, StaticAnchor, StaticExplorer

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome


class SoftControl(Control):
    """A control of a soft rule, step by step along its curriculum."""

    of: Low2High | High2Low | StaticAnchor | StaticExplorer = Field(
        ..., discriminator="kind", description="the soft rule whose weights are taken; all that it reads is its too"
    )


class Shuffled(SoftControl):
    """The weights of each response, dealt anew among its tokens by a hash."""

    kind: Literal["shuffled"] = Field(
        ..., description="the weights of the rule in `of`, permuted by chance within each response"
    )

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._draws import permuted

        found = self.of.weigh(batch)
        return replace(found, weight_N=permuted(found.weight_N, batch, "shuffle"))


class PermutedEntropy(SoftControl):
    """The weights that the rule gives to scores which were dealt anew among the tokens of each response."""

    kind: Literal["permuted-entropy"] = Field(
        ..., description="the rule in `of` on scores that are permuted by chance within each response"
    )

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._draws import permuted

        name = self.of.score
        return self.of.weigh(replace(batch, scores={name: permuted(batch.score_N(name), batch, "permute")}))


class EqualMean(SoftControl):
    """The same weight for all tokens: the mean of the rule's weights over the step's rollout batch."""

    kind: Literal["equal-mean"] = Field(
        ..., description="one weight for all tokens: the mean weight of the rule in `of` over the rollout batch"
    )

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        found = self.of.weigh(batch)
        if not batch.n_tokens:
            return found
        weight_N = found.weight_N.double()
        return replace(found, weight_N=weight_N.mean().expand_as(weight_N).clone())
