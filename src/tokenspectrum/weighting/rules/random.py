"""A fraction of the tokens by chance."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tokenspectrum.weighting.rules._options import HardRule

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome


class Random(HardRule):
    """Bernoulli(p) a token: u < p with u a hash of (seed, step, prompt_id, sample, position), whatever is around it."""

    kind: Literal["random"] = Field(..., description="Bernoulli(p) a token")

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._masks import bernoulli

        return bernoulli(self, batch)
