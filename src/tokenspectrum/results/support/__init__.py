"""How widely anchors and explorers look: the positions that hold most of the attention, its distance, its local mass.

Tokens are ranked within each response of the probe by one score, in four ways: by normalised entropy, by entropy in
nats, by entropy in nats among the first n tokens of a response alone, and by the entropy of the k largest positions.
Random tokens are chosen by a hash.  A response counts once: each number is a mean over responses of the mean over the
response's tokens, with a t interval over responses.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.values import Alignment
from tokenspectrum.results.declare import Column, Result


class SupportParams(Frozen):
    """`results/support`: the partitions that are compared."""

    p: float = Field(default=0.2, gt=0, lt=1, description="fraction of a response's tokens in a partition")
    first_n: int = Field(default=24, ge=2, description="tokens among which raw entropy is ranked anew")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="intervals cover 1 - alpha")


def lacks(params: Any) -> Iterator[str]:
    """Support sizes, which `tokens.support` asks for."""
    if not params.tokens.support:
        yield "tokens.support is false, so no support sizes were counted; set it to true"


RESULT = Result(
    __name__,
    title="support of attention",
    question="Over how many positions do anchors and explorers spread their attention, and how far away are they?",
    reads=("attention",),
    columns=(
        Column("base", int, "base policy"),
        Column("layer", int, "attention layer"),
        Column("score", str, "what ranks the tokens: normalised, raw, first n, or top-k"),
        Column("part", str, "anchors, explorers, random, or all"),
        Column("statistic", str, "positions that hold 50, 80, 90, 95 % of the mass; distance; local or non-local mass"),
        Column("mean", float, "mean over responses"),
        Column("sd", float, "standard deviation over responses"),
        Column("ci_low", float, "t interval over responses, lower end"),
        Column("ci_high", float, "the same, upper end"),
        Column("responses", int, "responses"),
        Column("tokens", int, "tokens of the part"),
    ),
    params=SupportParams,
    others={"tokens.alignment": Alignment},
    figure=True,
    lacks=lacks,
    resources={"mem_mb": 16000, "runtime": 60},
    local=False,
    overturned="Anchors and explorers with the same support, or an order that turns with the score.",
)
