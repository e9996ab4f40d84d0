"""How sure the base policy is of its tokens: the distribution of predictive entropy, and the tokens at its ends.

The interval of the share that is near certain takes the responses for independent, not their tokens: it is that of a
regression on a constant whose errors are clustered by response.
"""

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.results.declare import Column, Result


class PatternParams(Frozen):
    """`results/pattern`: which tokens are listed, and what counts as certain."""

    certain: float = Field(default=0.01, gt=0, description="nats below which a token counts as near certain")
    quantile: float = Field(default=0.8, gt=0, lt=1, description="quantile that parts forks from the rest")
    listed: int = Field(default=20, ge=1, description="tokens listed at either end")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="intervals cover 1 - alpha")
    occurrences: int = Field(default=20, ge=1, description="a token is listed if it occurs at least so often")


RESULT = Result(
    __name__,
    title="pattern of predictive entropy",
    question="Are most tokens near certain, and which tokens are the forks?",
    reads=("tokens", "vocab"),
    columns=(
        Column("base", int, "base policy"),
        Column("what", str, "share near certain; value at the quantile; bin; lowest or highest mean entropy"),
        Column("token", str, "of the lists: the token's text"),
        Column("low", float, "of a bin: its lower edge, nats"),
        Column("high", float, "of a bin: its upper edge, nats"),
        Column("value", float, "share, entropy in nats, or the list's mean entropy"),
        Column("n", int, "tokens"),
        Column("responses", int, "of the share: responses"),
        Column("ci_low", float, "of the share: t interval over responses, lower end; empty with one response"),
        Column("ci_high", float, "the same, upper end"),
    ),
    params=PatternParams,
    figure=True,
    resources={"mem_mb": 8000, "runtime": 30},
    local=False,
    overturned="A share near certain below a half.",
)
