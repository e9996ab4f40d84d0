"""Every response token, weight 1: full-token training."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tokenspectrum.weighting.rule import Rule

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome


class Uniform(Rule):
    """Every token, weight 1."""

    kind: Literal["uniform"] = Field(..., description="full-token training: no options")
    denominator: ClassVar[Literal["selected", "all"]] = "all"

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._masks import everything

        return everything(batch)
