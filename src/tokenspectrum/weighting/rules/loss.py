"""A fraction of the tokens by the magnitude of their clipped loss, ranked anew before each mini-batch."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tokenspectrum.weighting.rules._options import HardRule

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome


class LossRule(HardRule):
    """Ranks |l_t| at the current ratio, ties by chance."""

    scope: Literal["response", "minibatch"] = Field(
        default="response", description="what the fraction is taken of: each response or each mini-batch (all ranks)"
    )
    score: ClassVar[str] = "loss_magnitude"
    entropy_of: ClassVar[str] = "current"


class LossHigh(LossRule):
    """The tokens with the largest clipped term of each segment."""

    kind: Literal["loss-high"] = Field(
        ...,
        description="the tokens with the largest |l_t| at the current ratio, ties by chance.  Before a step's first "
        "update that is |A|, the same for all tokens of a response",
    )

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._masks import highest

        return highest(self, batch)


class LossLow(LossRule):
    """The tokens with the smallest clipped term of each segment."""

    kind: Literal["loss-low"] = Field(
        ..., description="the tokens with the smallest |l_t| at the current ratio, ties by chance"
    )

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._masks import lowest

        return lowest(self, batch)
