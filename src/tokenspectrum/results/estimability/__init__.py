"""How well the gradient of a few random tokens estimates that of all: predicted from token gradients, and measured.

Of a small batch of T tokens, with masks that keep each token by chance p, the error |g_p - g|^2 / |g|^2 is predicted by

    eq. 9      (1 - p) / (p T)  mean |g_t|^2 / |g|^2
    centred    (1 - p) / (p T) (mean |g_t|^2 - |g|^2) / |g|^2
    eq. 10     cosine = 1 / sqrt(1 + error of eq. 9)

Eq. 9 is exact in the mean for the estimator `expected`, which divides the kept sum by p T.  The centred form is for
`selected`, which divides it by the number of kept tokens, up to terms of higher order.  mean |g_t|^2 is found from
random signs.  The interval of `ratio` counts the spread of both: of the masks and of the signs.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.results.declare import Column, Result


class EstimabilityParams(Frozen):
    """`results/estimability`: its intervals."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="intervals cover 1 - alpha")


def lacks(params: Any) -> Iterator[str]:
    """Random masks, which `gradients.sparse` asks for."""
    if params.gradients.sparse is None:
        yield "gradients.sparse is null, so no random masks were measured; give it prompts, p and draws"


RESULT = Result(
    __name__,
    title="the gradient from a few tokens",
    question="Does the error of a sparse gradient follow from the token gradients, as eq. 9 and 10 say?",
    reads=("gradients", "run_gradients"),
    columns=(
        Column("run", str, "base: the base policy on its probe; or the method that was trained"),
        Column("base", int, "base policy"),
        Column("seed", int, "training seed; empty for the base policy itself"),
        Column("step", int, "0: the probe of the base policy; s: the batch of update s"),
        Column("p", float, "fraction of tokens that a mask keeps"),
        Column("estimator", str, "expected: divided by p T; selected: divided by the number of kept tokens"),
        Column("batch", int, "T: tokens of the small batch"),
        Column("draws", int, "masks"),
        Column("eq9", float, "error by eq. 9, relative to |g|^2"),
        Column("centred", float, "error by the centred form"),
        Column("measured", float, "mean error over the masks"),
        Column("sd", float, "standard deviation over the masks"),
        Column("ratio", float, "measured over what is predicted for the estimator: eq. 9, or the centred form"),
        Column("ci_low", float, "interval of the ratio, lower end"),
        Column("ci_high", float, "the same, upper end"),
        Column("eq10", float, "cosine by eq. 10"),
        Column("cosine", float, "mean cosine over the masks"),
        Column("signs", float, "relative standard error of mean |g_t|^2"),
    ),
    params=EstimabilityParams,
    figure=True,
    lacks=lacks,
    resources={"mem_mb": 4000, "runtime": 30},
    overturned="A ratio whose interval leaves 0.9 to 1.1.",
)
