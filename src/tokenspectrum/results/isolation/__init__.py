"""Whether attention entropy tells a token's part in the update when position, predictive entropy and loss are known.

Tokens are those of a batch whose advantage is not 0, as the gradient of the others is 0.  Of each token two things are
measured against the gradient g of all tokens:

    share    <g_t, g> / |g|^2: 1 is the average of all tokens
    cosine   of g_t and g, for the tokens whose own norm was taken

What is given: relative position, predictive entropy and |A|, which is the magnitude of the loss at ratio 1, each with
its powers up to `degree`.  A partial correlation is that of what a linear regression on them leaves.  Spearman's takes
ranks of everything.  The residual gap is the mean residual of the anchors less that of the explorers, after a
regression over all tokens.  Intervals resample responses.

Rows of geometry put a subset beside its control, which matches it in the covariates that `gradients.matched` names.
"""

from pydantic import Field

from tokenspectrum.params.base import Frozen
from tokenspectrum.params.values import Alignment
from tokenspectrum.results.declare import Column, Result
from tokenspectrum.results.gradient_asked import MatchedAsked


class IsolationParams(Frozen):
    """`results/isolation`: partitions, regressions and intervals."""

    p: float = Field(
        default=0.2, gt=0, lt=1, description="fraction of a response's tokens in anchors, and in explorers"
    )
    degree: int = Field(default=2, ge=1, le=4, description="highest power of each covariate in the regressions")
    draws: int = Field(default=1000, ge=100, description="resamples of responses")
    seed: int = Field(default=0, ge=0, description="of the resampling")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="intervals cover 1 - alpha")


RESULT = Result(
    __name__,
    title="attention entropy in isolation",
    question="Does attention entropy tell a token's part in the update beyond position, predictive entropy and loss?",
    reads=("attention", "gradients", "tokens"),
    columns=(
        Column("base", int, "base policy"),
        Column("layer", int, "attention layer that ranks the tokens"),
        Column("measure", str, "share or cosine of single tokens; norm_ratio, cosine or proj_ratio of subsets"),
        Column(
            "what",
            str,
            "Pearson, Spearman, partial Pearson, partial Spearman; gap, residual gap, residual of anchors, residual of "
            "explorers; subset, control, subset less control",
        ),
        Column("subset", str, "name of the subset that has a control; empty for single tokens"),
        Column("value", float, "its value"),
        Column("ci_low", float, "percentile interval over resampled responses, lower end; empty for subsets"),
        Column("ci_high", float, "the same, upper end"),
        Column("tokens", int, "tokens that it is taken of"),
        Column("responses", int, "responses that they are of; empty for subsets"),
        Column("overlap", float, "of a control: share of its tokens that the subset has too"),
    ),
    params=IsolationParams,
    others={"gradients.matched": MatchedAsked, "tokens.alignment": Alignment},
    figure=True,
    resources={"mem_mb": 8000, "runtime": 60},
    local=False,
    overturned="A partial correlation and a residual gap whose intervals hold 0.",
)
