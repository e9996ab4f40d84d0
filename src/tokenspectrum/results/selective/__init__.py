"""Training on anchors alone, or on explorers alone, beside all tokens, over the whole of training.

Reward of the rollouts, held-out Avg, and the hardest benchmark over checkpoints; accuracy at the end is tested.
"""

from tokenspectrum.results.outcome.declare import Curve, OutcomeParams, contrasted, drawn, outcome, shown


class SelectiveParams(OutcomeParams):
    """`results/selective`: the subsets that are compared."""

    methods: tuple[str, ...] = shown("full", "anchor20", "explorer20")
    contrasts: tuple[tuple[str, str], ...] = contrasted(("anchor20", "explorer20"))
    curves: tuple[Curve, ...] = drawn("reward", "Avg", "hardest")


RESULT = outcome(
    __name__,
    title="selective training",
    question="How does training go on anchors alone, and on explorers alone?",
    params=SelectiveParams,
    overturned="Bands of anchors and explorers that overlap throughout show no asymmetry.",
)
