"""Params of the reward: shared by rollouts, train and evaluate."""

from pydantic import Field

from tokenspectrum.params.base import Frozen


class OverlongParams(Frozen):
    """DAPO's soft penalty near the length limit."""

    buffer: int = Field(default=10, ge=1, description="Last tokens before the limit over which the penalty grows")
    factor: float = Field(default=1.0, ge=0, description="Penalty at the limit")


class RewardParams(Frozen):
    """How a response earns its reward: -2 without a box, -1 wrong, +1 right, less the overlong penalty."""

    integer_sources: tuple[str, ...] = Field(
        default=(), description="Data sources with integer answers only: 025 equals 25"
    )
    overlong: OverlongParams | None = Field(
        default=OverlongParams(), description="Soft penalty near the length limit; null for none"
    )
