"""Params of the weights stage: one entry of `rules` for each method.

A rule's `kind` decides which options it has, so an option that would change nothing is an unknown key.  A new rule that
takes the options of an existing family is one more name in that family's `kind`.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, RootModel, model_validator

from tokenspectrum.params.base import LEFT_OUT, Frozen
from tokenspectrum.params.layers import Layer

Fraction = Annotated[float, Field(gt=0, le=1)]


class UniformRule(Frozen):
    """Every response token, weight 1."""

    kind: Literal["uniform"] = Field(..., description="full-token training: no options")
    denominator: ClassVar[str] = "all"


class _HardRule(Frozen):
    p: Fraction = Field(default=0.2, description="fraction of tokens to keep, 0 < p <= 1")
    denominator: Literal["selected", "all"] = Field(
        default="selected",
        description="the loss is divided by the kept tokens (selected) or by all valid tokens of the mini-batch (all)",
    )


class UnrankedRule(_HardRule):
    """A fraction of the tokens by chance or by place in the response, whatever their scores."""

    kind: Literal["random", "front", "back"] = Field(
        ..., description="random: Bernoulli(p) a token; front: (t+1)/T <= p; back: (t+1)/T > 1-p"
    )


class _RankedRule(_HardRule):
    scope: Literal["response", "minibatch", "rollout"] = Field(
        default="response",
        description="what the fraction is taken of: each response, each mini-batch (all ranks) or the rollout batch",
    )
    entropy_of: Literal["old", "current"] = Field(
        default="old",
        description="whose scores: of the policy that sampled the batch (old), or of the one being updated, ranked "
        "anew before each mini-batch (current; not with scope rollout)",
    )

    @model_validator(mode="after")
    def _computable(self) -> "_RankedRule":
        if self.scope == "rollout" and self.entropy_of == "current":
            raise ValueError(
                "scope rollout with entropy_of current is not computable: the policy changes between the mini-batches "
                "of a rollout batch; use entropy_of old, or scope minibatch or response"
            )
        return self


class PredictiveRule(_RankedRule):
    """A fraction of the tokens by predictive entropy: high is the FORKING paper's rule."""

    kind: Literal["predictive-high", "predictive-low"] = Field(
        ..., description="the tokens emitted with the highest or the lowest predictive entropy"
    )
    score: ClassVar[str] = "predictive_entropy"


class LossRule(_HardRule):
    """A fraction of the tokens by the magnitude of their clipped loss, ranked anew before each mini-batch."""

    kind: Literal["loss-high", "loss-low"] = Field(
        ...,
        description="the tokens with the largest or the smallest |l_t| at the current ratio, ties by chance.  Before a "
        "step's first update that is |A|, the same for all tokens of a response",
    )
    scope: Literal["response", "minibatch"] = Field(
        default="response", description="what the fraction is taken of: each response or each mini-batch (all ranks)"
    )
    score: ClassVar[str] = "loss_magnitude"
    entropy_of: ClassVar[str] = "current"


class _AttentionScore(Frozen):
    layer: Layer = Field(
        default="mid", description="layer of the attention entropy: 0-based index, or shallow, mid or deep"
    )
    alignment: Literal["decision", "token"] = Field(
        default="decision",
        description="a token's score is taken at the query that emits it (decision) or at its own (token)",
    )
    score: Literal["entropy_norm", "entropy_raw"] = Field(
        default="entropy_norm",
        description="entropy of the head-mean attention row: over the log of visible positions (norm), or nats (raw)",
    )


class PartitionRule(_AttentionScore, _RankedRule):
    """A fraction of the tokens by attention entropy."""

    kind: Literal["anchor", "explorer"] = Field(
        ..., description="the tokens with the lowest (anchor) or the highest (explorer) attention entropy"
    )


class MatchedRule(Frozen):
    """A control: tokens by chance, but of every type, or of every part of a response, as many as another rule keeps."""

    kind: Literal["type-matched", "position-matched"] = Field(
        ...,
        description="by chance, as many tokens of each type (special, digit, operator, punctuation, whitespace, word), "
        "or of each tenth of a response, as the rule in `of` keeps there",
    )
    of: PredictiveRule | LossRule | PartitionRule = Field(
        ..., discriminator="kind", description="the rule to match; scope and denominator are its too"
    )


class _SoftRule(_AttentionScore):
    tau: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        default=1.0,
        description="temperature of ANCHOR eq. 26, or auto: mean(abar) = 0.5 on the base policy's tokens.  The paper's "
        "value is not known to us: an assumption",
    )
    eps_mode: Literal["exact", "literal"] = Field(
        default="exact",
        description="exact: eq. 27 with eps = 0; literal: with the paper's eps, whose effect grows with the batch",
    )
    eps: Annotated[Annotated[float, Field(gt=0)] | None, LEFT_OUT] = Field(
        None,
        description="eps of eq. 27, for eps_mode literal only.  The paper's value is not known to us: an assumption",
    )
    denominator: ClassVar[str] = "all"

    @model_validator(mode="after")
    def _eps_belongs_to_literal(self) -> "_SoftRule":
        if (self.eps_mode == "literal") != (self.eps is not None):
            raise ValueError("eps belongs to eps_mode literal: give both, or neither")
        return self


class CurriculumRule(_SoftRule):
    """Soft weights that move from one end of the attention entropy to the other."""

    kind: Literal["low2high", "high2low"] = Field(
        ..., description="low2high: from anchors to explorers (the ANCHOR paper's intervention); high2low: the reverse"
    )
    s_warm: Annotated[int, Field(ge=1)] = Field(
        default=30,
        description="S_warm of eq. 29-30: rollout batches until the end is reached.  The paper's value is not known to "
        "us: an assumption",
    )


class StaticRule(_SoftRule):
    """Soft weights that stay at one end."""

    kind: Literal["static-anchor", "static-explorer"] = Field(
        ..., description="static-anchor: w = 1 - abar throughout; static-explorer: w = abar throughout"
    )


RuleParams = Annotated[
    UniformRule | UnrankedRule | PredictiveRule | LossRule | PartitionRule | MatchedRule | CurriculumRule | StaticRule,
    Field(discriminator="kind", description="one method's weighting rule"),
]


class RuleSection(RootModel[RuleParams]):
    """`rules.<method>` as a section: `read_sections(**{"rules.anchor20": RuleSection})`; the rule is its `root`."""

    model_config = ConfigDict(frozen=True, strict=True)
