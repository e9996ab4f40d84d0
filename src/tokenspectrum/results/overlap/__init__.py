"""Does training move the places of high predictive entropy?  The same responses, under the base policy and after it.

The base policy's probe is scored again by every policy that a run kept.  Nothing is sampled anew, so a token is the
same token throughout.  Its places of high entropy are the fraction p of all tokens of the probe with the highest
predictive entropy.  The overlap of two policies is the share of the one's places that are the other's too; of two
random choices it is p.  Beside the runs stand the base policies among themselves: what two trainings from scratch have
in common.

The change of entropy is that of each token, in bins by its rank under the base policy.  The last rows set the top
fifth, by that rank, against the other four, replicate by replicate.
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.values import Labels
from tokenspectrum.results.declare import Column, Result


class OverlapParams(Frozen):
    """`results/overlap`: which places are compared, and the bins of the change."""

    methods: tuple[str, ...] = Field(
        default=("full",), min_length=1, description="the methods that it shows, each one of rescore.methods"
    )
    p: float = Field(default=0.2, gt=0, lt=1, description="fraction of the tokens that are places of high entropy")
    scope: Literal["rollout", "response"] = Field(
        default="rollout", description="whether that fraction is of all tokens of the probe or of each response"
    )
    bins: int = Field(default=20, ge=5, multiple_of=5, description="bins of the change, by the base's entropy")


def lacks(params: Any) -> Iterator[str]:
    """The methods that its options name, scored again: the checkpoints are those of `train.keep_steps`."""
    for method in params.analysis.overlap.methods:
        if method not in params.methods:
            yield f"method {method} of analysis.overlap.methods is not in methods; add it"
        elif method not in params.rescore.methods:
            yield f"method {method} of analysis.overlap.methods is not in rescore.methods; add it there"


RESULT = Result(
    __name__,
    title="overlap of high entropy",
    question="Are the places of high predictive entropy those of the base policy, after training too?",
    reads=("tokens", "rescore", "rescore_base"),
    columns=(
        Column("what", str, "overlap, change, or contrast"),
        Column("method", str, "the method; base: base policies among themselves"),
        Column("step", int, "training step of the policy; 0 of a base policy"),
        Column("low_percentile", float, "of a change: lower end of the bin by the base's entropy, percent of tokens"),
        Column("high_percentile", float, "the same, upper end"),
        Column("n", int, "replicates; of base: ordered pairs of base policies"),
        Column("bases", int, "base policies"),
        Column("mean", float, "overlap in percent; change of entropy in nats; contrast: top fifth less the others"),
        Column("sd", float, "standard deviation over replicates"),
        Column("low", float, "lowest replicate"),
        Column("high", float, "highest replicate"),
        Column("ci_low", float, "t interval over replicates, lower end; not of pairs, which are not independent"),
        Column("ci_high", float, "the same, upper end"),
        Column("chance", float, "overlap of two random choices, percent"),
        Column("absolute", float, "of a change or contrast: the same of the absolute change, nats"),
        Column("absolute_ci_low", float, "t interval of it, lower end"),
        Column("absolute_ci_high", float, "the same, upper end"),
        Column("tokens", int, "tokens, all replicates"),
    ),
    params=OverlapParams,
    others={"analysis.table1.labels": Labels},
    figure=True,
    lacks=lacks,
    resources={"mem_mb": 8000, "runtime": 30},
    local=False,
    overturned="An overlap near chance, or no higher than that of two base policies: then training moves the forks.",
)
