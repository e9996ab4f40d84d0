"""Options that several rules share.  Knows names and bounds, no tokens."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tokenspectrum.params.base import LEFT_OUT
from tokenspectrum.params.layers import Layers
from tokenspectrum.row_statistics import OF_EVERY_TOKEN
from tokenspectrum.weighting.rule import Rule

Fraction = Annotated[float, Field(gt=0, le=1)]
if TYPE_CHECKING:
    AttentionScore = str
else:
    AttentionScore = Literal[OF_EVERY_TOKEN]


class HardRule(Rule):
    """A rule that keeps a fraction of the tokens."""

    p: Fraction = Field(default=0.2, description="fraction of tokens to keep, 0 < p <= 1")
    denominator: Literal["selected", "all"] = Field(
        default="selected",
        description="the loss is divided by the kept tokens (selected) or by all valid tokens of the mini-batch (all)",
    )


class RankedRule(HardRule):
    """A hard rule that ranks the tokens of each segment by a score."""

    scope: Literal["response", "minibatch", "rollout"] = Field(
        default="response",
        description="what the fraction is taken of: each response, each mini-batch (all ranks) or the rollout batch",
    )
    entropy_of: Literal["old", "current"] = Field(
        default="old",
        description="whose scores: of the policy that sampled the batch (old), or of the one being updated, ranked "
        "anew before each mini-batch (current; not with scope rollout)",
    )
    first_n: Annotated[Annotated[int, Field(ge=1)] | None, LEFT_OUT] = Field(
        None,
        description="tokens of each response that are ranked, its first ones; the others are not kept; null: all",
    )

    @model_validator(mode="after")
    def _computable(self) -> "RankedRule":
        if self.scope == "rollout" and self.entropy_of == "current":
            raise ValueError(
                "scope rollout with entropy_of current is not computable: the policy changes between the mini-batches "
                "of a rollout batch; use entropy_of old, or scope minibatch or response"
            )
        return self


class AttentionRule(Rule):
    """A rule that looks at a statistic of the attention row."""

    layer: Layers = Field(
        default="mid",
        description="layer of the attention entropy: 0-based index, or shallow, mid or deep; of a list of them, or of "
        "mean (all layers), the score is the mean",
    )
    alignment: Literal["decision", "token"] = Field(
        default="decision",
        description="a token's score is taken at the query that emits it (decision) or at its own (token)",
    )
    score: AttentionScore = Field(
        default="entropy_norm",
        description="statistic of the attention row that the rule looks at, by its name in the table attention",
    )
