"""Whether five signals find the same tokens, on one sample of tokens of the probe of each base policy.

attention      normalised attention entropy, at one layer
predictive     predictive entropy
information    information peaks (arXiv 2506.02867): what the hidden state tells of the gold answer
importance     functional importance: how the final answer changes if no later token sees this one
variance       cross-rollout variance: how the token changes the chance of success, binomial noise removed

Two signals are compared within each response, over the tokens that both have: by Spearman's correlation, and by the
overlap of their top fifths, |A and B| / k with k = max(1, floor(p T + 0.5)).  By chance the overlap is k / T.  Of equal
tokens a hash takes one first, so that no place is favoured.  Numbers are means over responses, with t intervals.  p is
that of a one-sided t-test over responses that the overlap is above chance, and Holm's over the ten pairs of a base.
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


class LensesShown(Frozen):
    """`results/lenses`: how two signals are compared."""

    layer: Layer = Field(default="mid", description="layer of the attention entropy")
    p: float = Field(default=0.2, gt=0, lt=1, description="fraction of a response's tokens at the top of a signal")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="intervals cover 1 - alpha")


def lacks(params: Any) -> Iterator[str]:
    """The lenses that take model passes, which `signals` asks for, and a layer that was measured."""
    if params.signals is None:
        yield "signals is null, so no token was looked at; give it responses, tokens and rollouts"
    yield from unmeasured("lenses")(params)


RESULT = Result(
    __name__,
    title="five lenses on the same tokens",
    question="Do five signals of which tokens matter find the same ones?",
    reads=("attention", "signals", "tokens"),
    columns=(
        Column("base", int, "base policy"),
        Column("layer", int, "layer of the attention entropy"),
        Column("one", str, "a signal"),
        Column("other", str, "another"),
        Column("responses", int, "responses compared: those with at least five tokens that have both"),
        Column("tokens", int, "tokens of these"),
        Column("spearman", float, "Spearman's correlation, mean over the responses where both vary"),
        Column("spearman_low", float, "t interval over responses, lower end"),
        Column("spearman_high", float, "the same, upper end"),
        Column("overlap", float, "overlap of the top fifths, mean over responses"),
        Column("chance", float, "the same of two random sets"),
        Column("excess", float, "overlap less chance"),
        Column("excess_low", float, "t interval over responses, lower end"),
        Column("excess_high", float, "the same, upper end"),
        Column("p", float, "one-sided t-test over responses: overlap above chance"),
        Column("p_holm", float, "the same by Holm over the pairs of a base policy"),
    ),
    params=LensesShown,
    others={"policy": PolicyParams, "tokens.alignment": Alignment},
    figure=True,
    lacks=lacks,
    resources={"mem_mb": 8000, "runtime": 30},
    local=False,
    overturned="Pairs that overlap no more than chance.",
)
