"""A verdict on every claim of both papers, of the referee and of the note, on whatever policy the preset names.

A claim is written down with its rule before a number is read (`declared.py`).  It is decided by a function of tables:
of the accuracy of training runs by method and replicate, or of the CSV of another result.  Two p-values follow, one
for the claim and one against it, and each is adjusted by Holm's method over the claims of a family that have one.

- holds: the adjusted p-value for the claim is below alpha.
- fails: the adjusted p-value against it is below alpha, also where that for it is: the effect is off 0, and within the
  margin that counts as none.
- undecided: neither.  `detectable` is the smallest effect that these data would have shown with the given power.
- not run: the preset lacks a method or a result, or means something else by its name; `note` says which.

A claim of several parts holds if all of them do, and fails if one does; its numbers are those of the part that
decides.  A verdict that needs spread is undecided with one replicate.  Where the interval is over responses or
tokens of one base policy, it speaks of that base policy alone: `of` and `bases` say so.  Where another result gives
only an interval, the p-value is that of Student's t with the same end towards the threshold.  Holm's method takes the
claims of a family that have a p-value.  A3 and A4 take seeds for independent, though several share a base policy;
the page names every claim whose trainings do.
`detectable` is before Holm and of the deciding part alone, as the interval is.

A2 counts a seed as collapsed by the rule of table 1, first steps against last.  A3 and A4 count it in any of the three
modes of results/explorers, which also see what came and went.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import ConfigDict, Field

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import Frozen
from tokenspectrum.params.layers import Layer, resolve_layer
from tokenspectrum.params.policy import PolicyParams
from tokenspectrum.results.benchmarks import BenchmarkNames
from tokenspectrum.results.claims.declared import CLAIMS
from tokenspectrum.results.claims.meant import NAMED, SECTIONS, Plain
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.options import CollapseParams


def listing() -> str:
    """Every claim, what decides it, and what it needs."""
    lines = ["| | claim | measured | it holds if | family | needs |", "|---|---|---|---|---|---|"]
    for claim in CLAIMS:
        needs = [*(f"`{name}`" for name in claim.methods), *(f"results/{name}.csv" for name in claim.results)]
        cells = [claim.id, claim.claim, claim.measure, claim.rule, claim.family, ", ".join(needs)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def disagrees(params: Any) -> Iterator[str]:
    """A layer that the policy does not have."""
    try:
        resolve_layer(params.analysis.claims.layer, params.policy.num_layers)
    except UserError as e:
        yield f"analysis.claims.layer: {e}"


class AskedOfTable1(Frozen):
    """`analysis.table1`, as far as claims read it: averaged checkpoints, what counts as collapsed, intervals."""

    model_config = ConfigDict(extra="ignore")
    last_checkpoints: int = Field(default=1, ge=1)
    collapse: CollapseParams = CollapseParams()
    alpha: float = Field(default=0.05, gt=0, lt=0.5)


class ClaimsParams(Frozen):
    """`results/claims`: levels, and the layer of claims on attention.  Thresholds are part of the claims' rules."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="level of a verdict, after Holm over its family")
    power: float = Field(default=0.8, gt=0.5, lt=1, description="power of the smallest effect that is told")
    layer: Layer = Field(default="mid", description="layer that claims on attention speak of")


RESULT = Result(
    __name__,
    title="claims",
    question="Which claims hold on this policy, which fail, and which could these data not decide?",
    reads=("evaluate", "evaluate_base", "metrics"),
    asks=tuple(sorted({name for claim in CLAIMS for name in claim.results})),
    rules=tuple(NAMED),
    columns=(
        Column("id", str, "the claim"),
        Column("source", str, "who claims it"),
        Column("place", str, "where"),
        Column("claim", str, "the claim in a sentence"),
        Column("family", str, "claims whose p-values are adjusted together"),
        Column("measure", str, "what is measured"),
        Column("rule", str, "what decides, with its threshold"),
        Column("verdict", str, "holds, fails, undecided, or not run"),
        Column("part", str, "of a claim of several parts: the one that decides, and that the numbers are of"),
        Column("value", float, "the measure"),
        Column("ci_low", float, "its 95 % interval, lower end"),
        Column("ci_high", float, "the same, upper end"),
        Column("n", int, "how many values the interval is over"),
        Column("of", str, "what these are: replicates, survivors, seeds, base policies, responses, problems"),
        Column("bases", int, "base policies"),
        Column("p_for", float, "small where the data speak for the claim; two-sided"),
        Column("p_for_holm", float, "the same after Holm over the family"),
        Column("p_against", float, "small where they speak against it"),
        Column("p_against_holm", float, "the same after Holm over the family"),
        Column("detectable", float, "if undecided: the smallest effect that these data would have shown"),
        Column("published", str, "the published figure, where it is known to us"),
        Column("note", str, "what is missing, or why nothing could be told"),
    ),
    params=ClaimsParams,
    others={
        "analysis.table1": AskedOfTable1,
        "policy": PolicyParams,
        "prompts.benchmarks": BenchmarkNames,
        **dict.fromkeys(SECTIONS, Plain),
    },
    page=True,
    disagrees=disagrees,
    listing=listing,
    overturned="More base policies, more seeds, or another policy: a verdict speaks of the runs that it is made of.",
)
