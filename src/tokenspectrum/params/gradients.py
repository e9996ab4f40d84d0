"""`gradients`: which subsets of tokens have their gradient compared with that of all tokens."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.layers import Layer, once
from tokenspectrum.params.rules import RuleParams

SubsetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Covariate = Literal["type", "position", "predictive", "loss"]


class Deciles(Frozen):
    """Ten equal parts of each response, by a score: tokens floor(d T / 10) to floor((d + 1) T / 10) of its order."""

    layer: Layer = Field(default="mid", description="layer of the score: 0-based index, or shallow, mid or deep")
    score: Literal["entropy_norm", "entropy_raw"] = Field(
        default="entropy_norm", description="column of the table attention to rank tokens by"
    )


class MatchedSubset(Frozen):
    """Tokens by chance, as many of each class as another subset has: a class joins what `on` lists."""

    of: SubsetName = Field(description="the subset to match, one of `subsets` whose rule keeps or drops tokens")
    on: Annotated[tuple[Covariate, ...], Field(min_length=1), AfterValidator(once)] = Field(
        default=("position", "predictive", "loss"),
        description="what a class joins: token type, fifth of the response, fifths of predictive entropy and of |A|",
    )


class LayerSubsets(Frozen):
    """Anchors and explorers by the score of each of these layers: subsets named anchors_l0, explorers_l0, ..."""

    layers: Literal["all"] | Annotated[tuple[Layer, ...], AfterValidator(once)] = Field(
        default=(), description="layers; all stands for every layer of the table attention"
    )
    p: float = Field(default=0.2, gt=0, lt=1, description="fraction of a response's tokens in each")
    score: Literal["entropy_norm", "entropy_raw"] = Field(
        default="entropy_norm", description="column of the table attention to rank tokens by"
    )


class SparseParams(Frozen):
    """Random masks of a small batch: how far the gradient of the kept tokens is from that of all of them."""

    prompts: int = Field(default=4, ge=1, description="prompts of the small batch, chosen by hash, with all responses")
    p: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], AfterValidator(once)] = Field(
        default=(0.05, 0.1, 0.2, 0.4, 0.8), description="fractions of tokens that a mask keeps"
    )
    draws: int = Field(default=16, ge=2, description="masks of each fraction")
    signs: int = Field(
        default=32, ge=2, description="draws of random signs, from which the mean square of token gradients is found"
    )


class GradientsParams(Frozen):
    """The gradient is that of a batch at ratio 1, before clipping and before the optimiser."""

    prompts: int | None = Field(
        default=None,
        ge=1,
        description="prompts whose responses are the batch, chosen by hash; null: all",
    )
    subsets: dict[SubsetName, RuleParams] = Field(
        default={}, description="subsets by name: each is a weighting rule, and a soft one weighs its tokens"
    )
    matched: dict[SubsetName, MatchedSubset] = Field(
        default={}, description="controls by name: subsets chosen by chance that match another in its covariates"
    )
    deciles: Deciles = Deciles()
    by_layer: LayerSubsets = LayerSubsets()
    norms: int = Field(default=256, ge=0, description="tokens, chosen by hash, that get the norm of their own gradient")
    sparse: SparseParams | None = Field(
        default=SparseParams(), description="random masks for results/estimability; null: none"
    )

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name, rule in self.subsets.items():
            of = getattr(rule, "of", rule)
            if getattr(of, "tau", None) == "auto":
                raise ValueError(f"subsets.{name}: tau auto is found in the stage weights, of methods alone; give tau")
            if of.memory is not None:
                raise ValueError(
                    f"subsets.{name}: {of.kind} follows what a run measured, and a subset has none; use low2high"
                )
        for name, control in self.matched.items():
            if name in self.subsets:
                raise ValueError(f"matched.{name}: there is a subset of this name already; choose another")
            if control.of not in self.subsets:
                raise ValueError(f"matched.{name}.of: {control.of} is not in subsets")
        return self
