"""Where an anchor looks, and where an explorer of the same response looks: two attention rows over the text.

Rows are kept of a sample of tokens (`tokens.rows`).  Of each base policy the first response is taken of which rows of
an anchor and of an explorer are there; of those, the anchor with the lowest attention entropy and the explorer with
the highest.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.layers import Layer
from tokenspectrum.params.policy import PolicyParams
from tokenspectrum.params.values import Alignment
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.layer_asked import unmeasured


class MapsParams(Frozen):
    """`results/maps`: what is shown."""

    layer: Layer = Field(default="mid", description="layer of the rows")
    p: float = Field(default=0.2, gt=0, lt=1, description="fraction of the tokens that are anchors, and explorers")
    named: int = Field(default=6, ge=0, description="positions of the largest weight whose tokens are written")


def lacks(params: Any) -> Iterator[str]:
    """Rows, which `tokens.rows` asks for, of a layer that was measured."""
    if not params.tokens.rows:
        yield "tokens.rows is 0, so no attention rows were kept; set it to some"
    yield from unmeasured("maps")(params)


RESULT = Result(
    __name__,
    title="attention rows of an anchor and of an explorer",
    question="Where does an anchor look, and where an explorer of the same response?",
    reads=("attention", "rollouts", "tokens", "vocab"),
    columns=(
        Column("base", int, "base policy"),
        Column("layer", int, "attention layer"),
        Column("response", int, "response_id in the tables of the probe"),
        Column("part", str, "anchor or explorer: whose row it is"),
        Column("position", int, "its 0-based position in the response"),
        Column("token", str, "its text"),
        Column("entropy", float, "its normalised attention entropy"),
        Column("at", int, "0-based position that it looks at, the prompt's first being 0"),
        Column("prompt", int, "tokens of the prompt"),
        Column("there", str, "text of the token there"),
        Column("weight", float, "its share of the attention, mean over heads"),
    ),
    params=MapsParams,
    others={"policy": PolicyParams, "tokens.alignment": Alignment},
    figure=True,
    lacks=lacks,
    resources={"mem_mb": 4000, "runtime": 30},
    local=False,
    overturned="Rows that look alike.",
)
