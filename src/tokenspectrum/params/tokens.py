"""`tokens`: which statistics the base policy's response tokens get, at which layers."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.layers import Layer, once


class TokensParams(Frozen):
    """The rules read the layers and the alignment from here: every layer that a rule names must be listed."""

    layers: Literal["all"] | Annotated[tuple[Layer, ...], AfterValidator(once)] = Field(
        default="all", description="all, or a list of 0-based indices, shallow, mid and deep"
    )
    alignment: Literal["decision", "token"] = Field(
        default="decision",
        description="decision: the row of the query that emits the token; token: the row of the token's own query",
    )
    local_window: int = Field(
        default=32, ge=1, description="positions that count as local in local_mass, the query's own among them"
    )
    top_k: int | None = Field(
        default=16, ge=2, description="k of the top-k entropy, below the longest context; null: none"
    )
    fixed_k: int | None = Field(
        default=32, ge=2, description="K of the fixed-K entropy, below the longest context; null: none"
    )
    support: bool = Field(
        default=True, description="whether to count the positions that hold 50, 80, 90 and 95 % of the mass"
    )
    rows: int = Field(default=256, ge=0, description="tokens, chosen by hash, whose whole attention rows are kept")
