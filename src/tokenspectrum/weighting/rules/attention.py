"""A fraction of the tokens by a statistic of the attention row: the ANCHOR paper's partitions."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tokenspectrum.weighting.rules._options import AttentionRule, RankedRule

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome


class Anchor(AttentionRule, RankedRule):
    """The tokens with the lowest attention entropy of each segment."""

    kind: Literal["anchor"] = Field(..., description="the tokens with the lowest attention entropy")

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._masks import lowest

        return lowest(self, batch)


class Explorer(AttentionRule, RankedRule):
    """The tokens with the highest attention entropy of each segment."""

    kind: Literal["explorer"] = Field(..., description="the tokens with the highest attention entropy")

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._masks import highest

        return highest(self, batch)
