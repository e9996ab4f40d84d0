"""How far two layers agree on which tokens are anchors and explorers: a row a pair and base policy, and heat maps.

Within each response, tokens are ranked by a layer's attention entropy.  Two layers are compared in three ways: by the
Jaccard index of their anchors, by that of their explorers, and by Spearman's correlation of the ranks.  Predictive
entropy is compared as one more layer, after the last.  Beside each index stands that of two random masks of its size.
All tokens are those of a base policy's probe.

Further rows say what each layer's own anchors and explorers are like: how many positions hold 80 % of their attention,
its distance and local mass, and how their gradient lies to that of all tokens (`gradients.by_layer`).
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.values import Alignment
from tokenspectrum.results.declare import Column, Result


class LayersParams(Frozen):
    """`results/layers`: how far layers agree on the base policy's probe."""

    p: float = Field(
        default=0.2, gt=0, lt=1, description="fraction of a response's tokens that are anchors, and that are explorers"
    )
    score: Literal["entropy_norm", "entropy_raw"] = Field(
        default="entropy_norm", description="column of the table attention to rank tokens by"
    )


def disagrees(params: Any) -> Iterator[str]:
    """The masks whose gradients are taken are those whose support is counted."""
    own, masks = params.analysis.layers, params.gradients.by_layer
    for name in ("p", "score"):
        if masks.layers and getattr(own, name) != getattr(masks, name):
            yield (
                f"analysis.layers.{name}: {getattr(own, name)}, but gradients.by_layer.{name} is "
                f"{getattr(masks, name)}; make them the same"
            )


def lacks(params: Any) -> Iterator[str]:
    """At least two layers in `tokens.layers`."""
    if params.tokens.layers != "all" and len(params.tokens.layers) < 2:
        yield "tokens.layers holds one layer, so no two can be compared; set it to all, or list several"


RESULT = Result(
    __name__,
    title="agreement of layers",
    question="Do layers agree on which tokens are anchors and which are explorers?",
    reads=("attention", "gradients", "tokens"),
    columns=(
        Column("base", int, "the base policy"),
        Column("layer", str, "a layer, 0-based"),
        Column("other", str, "a later layer, or predictive_entropy; empty in rows of one layer"),
        Column("responses", int, "responses compared"),
        Column("tokens", int, "tokens of these responses"),
        Column("anchor_jaccard", float, "Jaccard index of the anchors, mean over responses"),
        Column("anchor_jaccard_pooled", float, "the same, pooled: sum of overlaps over sum of unions"),
        Column("explorer_jaccard", float, "Jaccard index of the explorers, mean over responses"),
        Column("explorer_jaccard_pooled", float, "the same, pooled"),
        Column("random_jaccard", float, "Jaccard index of two random masks of the same sizes: its exact mean"),
        Column("random_jaccard_pooled", float, "the same, pooled: ratio of the expected sums"),
        Column("spearman", float, "Spearman's correlation in a response, ties by average ranks, mean over responses"),
        Column("spearman_responses", int, "responses where both scores vary, over which that mean is taken"),
        Column("part", str, "of one layer: anchors, explorers, or all, by its own score"),
        Column(
            "measure",
            str,
            "support_80 (positions that hold 80 % of the mass), distance, local_mass; norm_ratio, cosine, proj_ratio",
        ),
        Column("value", float, "mean over responses; of a gradient, the number itself"),
        Column("ci_low", float, "t interval over responses, lower end; empty for gradients"),
        Column("ci_high", float, "the same, upper end"),
    ),
    params=LayersParams,
    others={"tokens.alignment": Alignment},
    figure=True,
    lacks=lacks,
    disagrees=disagrees,
    resources={"mem_mb": 16000, "runtime": 60},
    local=False,
    overturned="Jaccard indices near those of random masks: then a layer's partition says nothing of another's.",
)
