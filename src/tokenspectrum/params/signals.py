"""`signals`: how many responses of the probe are looked at through the lenses that need model passes of their own."""

from pydantic import Field, RootModel

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.layers import Layer


class SignalsParams(Frozen):
    """Three lenses: information peaks, functional importance, and cross-rollout variance."""

    responses: int = Field(
        default=16, ge=2, description="responses, chosen by hash; those with a boxed answer go first"
    )
    tokens: int = Field(default=64, ge=2, description="tokens of each, chosen by hash; all of them if there are fewer")
    layer: Layer = Field(default="deep", description="layer whose hidden states are compared with the answer's")
    sigma: float | None = Field(
        default=50.0,
        gt=0,
        description="width of the Gaussian kernel, 50 as in the code of arXiv 2506.02867; null: the median distance "
        "between the state's own coordinates",
    )
    rollouts: int = Field(default=8, ge=2, description="continuations sampled from before and after each token")


class SignalsSection(RootModel[SignalsParams | None]):
    """The section as a stage reads it: null where it is not asked for."""
