"""What each base policy's anchors and explorers are made of, and what each method came to there.

Anchors and explorers are of one base policy's layer.  On another base policy the same layer may look elsewhere, and
then the same rule trains on other tokens.  So a row is of one base policy: the outcome of a method, or
the share that a kind of token has among its anchors, its explorers, or all its tokens.  A fork is a token among the
fraction p of the base policy's tokens with the highest predictive entropy.
"""

from typing import Literal

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.layers import Layer
from tokenspectrum.params.policy import PolicyParams
from tokenspectrum.params.values import Alignment
from tokenspectrum.results.benchmarks import BenchmarkNames
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.layer_asked import unmeasured
from tokenspectrum.results.options import AskedOfTable1


class BasesParams(Frozen):
    """`results/bases`: which tokens are counted as anchors and explorers, and what is drawn."""

    p: float = Field(default=0.2, gt=0, lt=1, description="fraction of anchors, of explorers, and of forks")
    score: Literal["entropy_norm", "entropy_raw"] = Field(
        default="entropy_norm", description="column of the table attention to rank tokens by"
    )
    layer: Layer = Field(default="mid", description="layer that the figure and the page show; the CSV has all")
    frequent: int = Field(default=8, ge=0, description="most frequent tokens listed of each partition")


RESULT = Result(
    __name__,
    title="base policies side by side",
    question="What are anchors and explorers on each base policy, and what did each method come to there?",
    reads=("attention", "tokens", "vocab", "evaluate", "evaluate_base"),
    columns=(
        Column("base", int, "base policy"),
        Column("what", str, "outcome, or made of"),
        Column("method", str, "of an outcome: the method, or base"),
        Column("part", str, "of what it is made: anchors, explorers, or all tokens"),
        Column("layer", int, "layer that ranks the tokens; empty for all tokens"),
        Column("aspect", str, "Avg or difference; type, position, fork or token"),
        Column("value", str, "the kind of token; of a difference: the method that is subtracted"),
        Column("percent", float, "accuracy in percent, difference in points; share of the part's tokens in percent"),
        Column("noise", float, "of a difference: its standard error over problems, points; empty with one problem"),
        Column("n", int, "replicates of an outcome; tokens of a part"),
    ),
    params=BasesParams,
    others={
        "analysis.table1": AskedOfTable1,
        "policy": PolicyParams,
        "prompts.benchmarks": BenchmarkNames,
        "tokens.alignment": Alignment,
    },
    figure=True,
    page=True,
    lacks=unmeasured("bases"),
    resources={"mem_mb": 8000, "runtime": 30},
    local=False,
    overturned="Partitions that are made of the same tokens on every base policy, beside outcomes that still differ.",
)
