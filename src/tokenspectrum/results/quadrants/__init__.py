"""The four quadrants of attention and predictive entropy, cut at each response's medians, and the tokens in each.

`over` is how many times as often a token is in a quadrant as if tokens were dealt into quadrants by chance, in
proportion to the quadrants' sizes.
"""

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.results.declare import Column, Result


class QuadrantsParams(Frozen):
    """`results/quadrants`: which tokens are listed."""

    listed: int = Field(default=20, ge=1, description="most frequent tokens listed of each quadrant")


RESULT = Result(
    __name__,
    title="quadrants of both entropies",
    question="Which tokens are of high attention entropy but certain, and which the reverse?",
    reads=("attention", "tokens", "vocab"),
    columns=(
        Column("base", int, "base policy"),
        Column("layer", int, "attention layer"),
        Column("predictive", str, "high or low: strictly above the response's median predictive entropy, or not"),
        Column("attention", str, "high or low: the same of normalised attention entropy"),
        Column("token", str, "its text"),
        Column("count", int, "how often it is in the quadrant"),
        Column("over", float, "times as often as by chance"),
        Column("tokens", int, "tokens of the quadrant"),
    ),
    params=QuadrantsParams,
    resources={"mem_mb": 4000, "runtime": 30},
    local=False,
    overturned="Quadrants with the same tokens.",
)
