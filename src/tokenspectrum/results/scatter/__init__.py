"""Whether attention entropy says what predictive entropy says: their correlation over the probe's tokens.

Pearson's and Spearman's correlations over all tokens of a base policy and layer.  The interval resamples responses,
since the tokens of a response are not independent.  While it is made, 16 bytes a token lie in the folder for temporary
files (TMPDIR); memory does not grow with the tokens.
"""

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.layers import Layer
from tokenspectrum.params.policy import PolicyParams
from tokenspectrum.params.values import Alignment
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.layer_asked import unmeasured


class ScatterParams(Frozen):
    """`results/scatter`: how the interval is made, and what is drawn."""

    layer: Layer = Field(default="mid", description="layer that the figure shows; the CSV has all")
    draws: int = Field(default=1000, ge=100, description="resamples of responses")
    seed: int = Field(default=0, ge=0, description="of the resampling")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="intervals cover 1 - alpha")


RESULT = Result(
    __name__,
    title="attention entropy against predictive entropy",
    question="Are tokens of high attention entropy those of high predictive entropy?",
    reads=("attention", "tokens"),
    columns=(
        Column("base", int, "base policy"),
        Column("layer", int, "attention layer"),
        Column("what", str, "Pearson, Spearman, or bin: a bin of the density that is drawn"),
        Column("r", float, "correlation of normalised attention entropy with predictive entropy"),
        Column("ci_low", float, "percentile interval over resampled responses, lower end; empty with one response"),
        Column("ci_high", float, "the same, upper end"),
        Column("attention", float, "of a bin: its middle, normalised attention entropy"),
        Column("predictive", float, "of a bin: its middle, predictive entropy in nats"),
        Column("tokens", int, "tokens, or those of the bin"),
        Column("responses", int, "responses"),
    ),
    params=ScatterParams,
    others={"policy": PolicyParams, "tokens.alignment": Alignment},
    figure=True,
    lacks=unmeasured("scatter"),
    resources={"mem_mb": 16000, "runtime": 60},
    local=False,
    overturned="A correlation near 1 or -1: then one entropy stands for the other.",
)
