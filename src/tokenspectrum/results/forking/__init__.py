"""Tokens by predictive entropy: the top 10, 20 and 50 per cent, and the low 80 per cent, against all tokens.

The claim of the FORKING paper is that the top 20 per cent do as well as all tokens, and the low 80 per cent much worse.
Whether the advantage grows with the size of the policy is the question of the result `scaling`.
"""

from tokenspectrum.results.outcome.declare import Curve, OutcomeParams, contrasted, drawn, outcome, shown


class ForkingParams(OutcomeParams):
    """`results/forking`: the shares that are compared."""

    methods: tuple[str, ...] = shown("full", "pred_high10", "pred_high20", "pred_high50", "pred_low80")
    contrasts: tuple[tuple[str, str], ...] = contrasted(("pred_high20", "pred_low80"))
    curves: tuple[Curve, ...] = drawn("reward", "length", "Avg")


RESULT = outcome(
    __name__,
    title="forking tokens",
    question="Do the tokens of highest predictive entropy carry the training?",
    params=ForkingParams,
    overturned="Low 80 per cent that does as well as the top 20 would show that these tokens are not what carries it.",
)
