"""A fraction of the tokens by their place in the response."""

from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tokenspectrum.weighting.rules._options import HardRule

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome


class Front(HardRule):
    """The first fraction p of each response, (t+1)/T <= p; none of a response shorter than 1/p tokens."""

    kind: Literal["front"] = Field(..., description="(t+1)/T <= p")

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._masks import keep, progress

        progress_N = progress(batch)
        return keep(progress_N <= self.p, progress_N)


class Back(HardRule):
    """The last fraction p of each response, (t+1)/T > 1-p; never empty."""

    kind: Literal["back"] = Field(..., description="(t+1)/T > 1-p")

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._masks import keep, progress

        progress_N = progress(batch)
        # In binary 1 - 0.8 is less than 0.2, so the plain comparison would keep one token too many.
        return keep(progress_N > float(1 - Decimal(str(self.p))), progress_N)
