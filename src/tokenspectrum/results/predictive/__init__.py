"""The tokens of lowest and of highest predictive entropy, against all tokens."""

from tokenspectrum.results.outcome.declare import Curve, OutcomeParams, contrasted, drawn, outcome, shown


class PredictiveParams(OutcomeParams):
    """`results/predictive`: the subsets that are compared."""

    methods: tuple[str, ...] = shown("full", "pred_low20", "pred_high20")
    contrasts: tuple[tuple[str, str], ...] = contrasted(("pred_high20", "pred_low20"))
    curves: tuple[Curve, ...] = drawn("reward", "length", "benchmarks")


RESULT = outcome(
    __name__,
    title="predictive entropy",
    question="Do tokens of low and of high predictive entropy teach as anchors and explorers do?",
    params=PredictiveParams,
    overturned="If low and high differ as anchors and explorers do, predictive entropy would explain them.",
)
