"""Anchors and low2high by the attention entropy of each layer, of the mean over all layers, and of three layers.

Each rule is trained once for each layer that it may read.  The figure has a panel a rule and measure of accuracy, with
a point a layer; the dashed line is full-token training.  A policy of three layers has no more layers than shallow, mid
and deep, so there `mean` and `multi` are one rule.
"""

from dataclasses import replace

from pydantic import Field, model_validator

from tokenspectrum.results.declare import Column
from tokenspectrum.results.outcome.declare import Curve, OutcomeParams, drawn, outcome, shown

Swept = tuple[str, str, str]
_LAYERS = ("shallow", "mid", "deep", "mean", "multi")
SWEEP: tuple[Swept, ...] = (
    *(("anchor 20 %", layer, "anchor20" if layer == "mid" else f"anchor20_{layer}") for layer in _LAYERS),
    *(("low2high", layer, f"low2high_{layer}") for layer in _LAYERS),
)


class LayersweepParams(OutcomeParams):
    """`results/layersweep`: which method is which rule at which layer."""

    methods: tuple[str, ...] = shown("full", *(method for _, _, method in SWEEP))
    curves: tuple[Curve, ...] = drawn("Avg")
    sweep: tuple[Swept, ...] = Field(
        default=SWEEP,
        min_length=1,
        description="each of methods but the reference as [rule, layer, method]: a panel a rule, a point a layer",
    )

    @model_validator(mode="after")
    def _swept_once(self) -> "LayersweepParams":
        swept = [method for _, _, method in self.sweep]
        if sorted(swept) != sorted(m for m in self.methods if m != self.reference):
            raise ValueError("sweep takes each of methods but the reference, once")
        return self


RESULT = outcome(
    __name__,
    title="layer sweep",
    question="Does it matter which layer's attention entropy a rule reads?",
    params=LayersweepParams,
    overturned="Layers that differ by no more than replicates do show no best layer.",
)
_BY = (
    Column("rule", str, "the rule of the sweep; empty for the reference and the base policy"),
    Column("layer", str, "the layer or layers that it reads"),
)
RESULT = replace(RESULT, columns=(*_BY, *RESULT.columns))
