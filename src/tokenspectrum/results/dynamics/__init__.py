"""Attention entropy of anchors, explorers and all tokens at every step of training, under four scores.

At each step, the tokens of each response are ranked by a score: the first fraction p are anchors, the last explorers.
Of each group the CSV has the mean of four entropies, normalised, raw, top-k and fixed-K, and the standard deviation
within the group.  Beside them stands the gap: the explorers' mean less the anchors', of each replicate.  And what is
kept of it: the gap less half of the same replicate's at its first step, so above 0 where more than half is left.  Where
the first gap is below 0, both are turned round.

Normalised and raw are of every token of a step; top-k and fixed-K are of the responses whose whole rows were sampled,
on the steps where they were.
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.layers import Layer
from tokenspectrum.params.policy import PolicyParams
from tokenspectrum.params.values import Alignment, Labels
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.layer_asked import unmeasured
from tokenspectrum.results.outcome.declare import missing_methods

SCORES = ("entropy_norm", "entropy_raw", "entropy_topk", "entropy_fixed")


class DynamicsParams(Frozen):
    """`results/dynamics`: whose training is followed, and which tokens are anchors and explorers."""

    methods: tuple[str, ...] = Field(
        default=("full", "low2high_mid"), min_length=1, description="the methods whose token log is read, a column each"
    )
    layer: Layer = Field(default="mid", description="attention layer, one of train.token_log.layers")
    p: float = Field(default=0.2, gt=0, lt=1, description="fraction of a response that are anchors, and explorers")
    score: Literal["entropy_norm", "entropy_raw"] = Field(
        default="entropy_norm", description="column of the table attention that ranks a response's tokens"
    )
    sampled: bool = Field(
        default=False,
        description="true: only the responses whose whole rows were sampled; for runs of billions of tokens",
    )


def lacks(params: Any) -> Iterator[str]:
    """The methods that its options name, and a token log of their layer with the statistics of whole rows."""
    own, log = params.analysis.dynamics, params.train.token_log
    yield from missing_methods(own, params, "analysis.dynamics")
    if log.attention == "none":
        yield "train.token_log.attention is none; set it to streaming"
    elif log.row_stats is None:
        yield "train.token_log.row_stats is null, so there is no top-k and fixed-K entropy; set it"
    yield from unmeasured("dynamics", "train.token_log.layers")(params)


RESULT = Result(
    __name__,
    title="entropy over training",
    question="Do anchors and explorers stay apart while the policy learns?",
    reads=("tokenlog",),
    columns=(
        Column("method", str, "the method"),
        Column("score", str, "which entropy: entropy_norm, entropy_raw, entropy_topk or entropy_fixed"),
        Column(
            "group",
            str,
            "anchor, explorer or all; gap: explorers' mean less anchors'; kept: gap less half the first step's",
        ),
        Column("step", int, "training step, from 1"),
        Column("n", int, "replicates"),
        Column("bases", int, "base policies that they train"),
        Column("mean", float, "mean of the group's mean over replicates"),
        Column("sd", float, "standard deviation of the group's mean over replicates; empty with one"),
        Column("low", float, "lowest replicate"),
        Column("high", float, "highest replicate"),
        Column("within", float, "standard deviation within the group, mean over replicates; empty for the gap"),
        Column("tokens", int, "tokens of the group, all replicates"),
    ),
    params=DynamicsParams,
    others={"analysis.table1.labels": Labels, "policy": PolicyParams, "tokens.alignment": Alignment},
    figure=True,
    lacks=lacks,
    resources={"mem_mb": 16000, "runtime": 60},
    local=False,
    overturned="A gap that closes during training, under any of the four scores.",
)
