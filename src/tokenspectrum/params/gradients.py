"""`gradients`: which subsets of the probe's tokens have their gradient compared with that of all tokens."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.layers import Layer
from tokenspectrum.params.rules import RuleParams

SubsetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]


class Deciles(Frozen):
    """Ten equal parts of each response, by a score: tokens floor(d T / 10) to floor((d + 1) T / 10) of its order."""

    layer: Layer = Field(default="mid", description="layer of the score: 0-based index, or shallow, mid or deep")
    score: Literal["entropy_norm", "entropy_raw"] = Field(
        default="entropy_norm", description="column of the table attention to rank tokens by"
    )


class GradientsParams(Frozen):
    """The gradient is that of the probe's batch at ratio 1, before clipping and before the optimiser."""

    subsets: dict[SubsetName, RuleParams] = Field(
        default={}, description="subsets by name: each is a weighting rule, and a soft one weighs its tokens"
    )
    deciles: Deciles = Deciles()
    norms: int = Field(default=256, ge=0, description="tokens, chosen by hash, that get the norm of their own gradient")
