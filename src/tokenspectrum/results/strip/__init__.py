"""One response of each base policy, token by token: how attention and predictive entropy lie along a text.

The response is chosen by a rule, not by hand.  Among the responses of the probe that are right, in a group where not
all are, it is the one of median length; with two in the middle the shorter one, and of equal lengths the first.  Where
no group is mixed, all responses are looked at.
"""

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.layers import Layer
from tokenspectrum.params.policy import PolicyParams
from tokenspectrum.params.values import Alignment
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.layer_asked import unmeasured


class StripParams(Frozen):
    """`results/strip`: what is shown."""

    layer: Layer = Field(default="mid", description="layer of the attention entropy")
    p: float = Field(default=0.2, gt=0, lt=1, description="fraction of the tokens that are anchors, and explorers")
    tokens: int = Field(default=160, ge=1, description="tokens that are drawn, from the first; the CSV has all")


RESULT = Result(
    __name__,
    title="one response, token by token",
    question="Where in a text are attention entropy and predictive entropy high?",
    reads=("attention", "rollouts", "tokens", "vocab"),
    columns=(
        Column("base", int, "base policy"),
        Column("layer", int, "attention layer"),
        Column("response", int, "response_id in the tables of the probe"),
        Column("among", str, "right: among the right ones of mixed groups; all: among all, since there are none"),
        Column("position", int, "0-based position in the response"),
        Column("token", str, "its text"),
        Column("attention", float, "normalised attention entropy"),
        Column("predictive", float, "predictive entropy, nats"),
        Column("part", str, "anchor, explorer, or neither"),
    ),
    params=StripParams,
    others={"policy": PolicyParams, "tokens.alignment": Alignment},
    figure=True,
    lacks=unmeasured("strip"),
    resources={"mem_mb": 8000, "runtime": 30},
    local=False,
    overturned="High attention entropy on any kind of token alike.",
)
