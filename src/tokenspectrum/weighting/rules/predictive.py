"""A fraction of the tokens by predictive entropy; predictive-high is the FORKING paper's rule."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tokenspectrum.weighting.rules._options import RankedRule

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome


class PredictiveHigh(RankedRule):
    """The tokens with the highest predictive entropy of each segment: forking tokens."""

    kind: Literal["predictive-high"] = Field(..., description="the tokens emitted with the highest predictive entropy")
    score: ClassVar[str] = "predictive_entropy"

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._masks import highest

        return highest(self, batch)


class PredictiveLow(RankedRule):
    """The tokens with the lowest predictive entropy of each segment: sure predictions."""

    kind: Literal["predictive-low"] = Field(..., description="the tokens emitted with the lowest predictive entropy")
    score: ClassVar[str] = "predictive_entropy"

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._masks import lowest

        return lowest(self, batch)
