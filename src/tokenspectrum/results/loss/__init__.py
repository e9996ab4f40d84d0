"""The tokens of smallest and of largest loss, against all tokens."""

from tokenspectrum.results.outcome.declare import Curve, OutcomeParams, contrasted, drawn, outcome, shown


class LossParams(OutcomeParams):
    """`results/loss`: the subsets that are compared."""

    methods: tuple[str, ...] = shown("full", "loss_low20", "loss_high20")
    contrasts: tuple[tuple[str, str], ...] = contrasted(("loss_high20", "loss_low20"))
    curves: tuple[Curve, ...] = drawn("reward", "length", "benchmarks")


RESULT = outcome(
    __name__,
    title="loss magnitude",
    question="Do tokens of small and of large loss teach as anchors and explorers do?",
    params=LossParams,
    overturned="If small and large losses differ as anchors and explorers do, the size of the loss would explain them.",
)
