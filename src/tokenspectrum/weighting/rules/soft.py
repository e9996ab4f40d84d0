"""Every token weighs between two ends by its normalised attention entropy (ANCHOR eq. 26-30)."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tokenspectrum.params.base import LEFT_OUT
from tokenspectrum.weighting.rules._options import AttentionRule

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome


Ends = tuple[float, float]


class SoftRule(AttentionRule):
    """Options of all soft rules.

    w_low is the weight of a token with abar = 0, (at s = 0, from s = s_warm on); w_high the same where abar = 1.
    """

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
    floor: Annotated[Annotated[float, Field(gt=0, lt=1)] | None, LEFT_OUT] = Field(
        None, description="smallest weight: where the rule gives less, the token weighs this; null: no such bound"
    )
    denominator: ClassVar[Literal["selected", "all"]] = "all"
    w_low: ClassVar[Ends]
    w_high: ClassVar[Ends]

    @model_validator(mode="after")
    def _eps_belongs_to_literal(self) -> "SoftRule":
        if (self.eps_mode == "literal") != (self.eps is not None):
            raise ValueError("eps belongs to eps_mode literal: give both, or neither")
        return self

    @classmethod
    def constants(cls) -> dict[str, Any]:
        return super().constants() | {"w_low": cls.w_low, "w_high": cls.w_high}

    def fitted(self, batch: "TokenBatch") -> Self:
        from tokenspectrum.weighting.rules._soft import fitted_tau

        return self.model_copy(update={"tau": fitted_tau(self, batch)}) if self.tau == "auto" else self

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        from tokenspectrum.weighting.rules._schedule import ramp
        from tokenspectrum.weighting.rules._soft import soft

        return soft(self, batch, ramp(batch.s, getattr(self, "s_warm", None)))


class _Curriculum(SoftRule):
    s_warm: Annotated[int, Field(ge=1)] = Field(
        default=30,
        description="S_warm of eq. 29-30: rollout batches until the end is reached.  The paper's value is not known to "
        "us: an assumption",
    )

    @property
    def shown_at(self) -> tuple[int, ...]:
        return (0, self.s_warm)


class Low2High(_Curriculum):
    """Soft weights that move from the lowest attention entropy to the highest (the ANCHOR paper's intervention)."""

    kind: Literal["low2high"] = Field(..., description="from anchors to explorers (the ANCHOR paper's intervention)")
    w_low: ClassVar[Ends] = (1.0, 0.0)
    w_high: ClassVar[Ends] = (0.0, 1.0)


class High2Low(_Curriculum):
    """Soft weights that move from the highest attention entropy to the lowest."""

    kind: Literal["high2low"] = Field(..., description="from explorers to anchors")
    w_low: ClassVar[Ends] = (0.0, 1.0)
    w_high: ClassVar[Ends] = (1.0, 0.0)


class StaticAnchor(SoftRule):
    """Soft weights that stay at the lowest attention entropy."""

    kind: Literal["static-anchor"] = Field(..., description="w = 1 - abar throughout")
    w_low: ClassVar[Ends] = (1.0, 1.0)
    w_high: ClassVar[Ends] = (0.0, 0.0)


class StaticExplorer(SoftRule):
    """Soft weights that stay at the highest attention entropy."""

    kind: Literal["static-explorer"] = Field(..., description="w = abar throughout")
    w_low: ClassVar[Ends] = (0.0, 0.0)
    w_high: ClassVar[Ends] = (1.0, 1.0)
