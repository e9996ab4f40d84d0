"""Random subsets of the tokens, from a few per cent to most of them, against all tokens.

The column `share` is accuracy as per cent of full-token training's, and `gain_share` the same of what was gained over
the base policy.  Both at the last checkpoint, and as the mean of the last five.
"""

from tokenspectrum.results.outcome.declare import Curve, OutcomeParams, drawn, outcome, shown, windows


class SparseParams(OutcomeParams):
    """`results/sparse`: the shares that are compared, and over how many checkpoints."""

    methods: tuple[str, ...] = shown("full", "random05", "random10", "random20", "random40", "random80")
    windows: tuple[int, ...] = windows(1, 5)
    curves: tuple[Curve, ...] = drawn("reward", "Avg")


RESULT = outcome(
    __name__,
    title="random subsets",
    question="How much of full-token training does a random subset of the tokens keep?",
    params=SparseParams,
    overturned="A share whose interval reaches far below 100 per cent has not been shown to keep anything.",
)
