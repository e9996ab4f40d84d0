"""Anchors and explorers under both denominators, beside all tokens.

Under `selected` the loss is divided by the number of kept tokens, and under `all` by the number of all tokens.  At
p = 0.2 the second makes the same gradient a fifth as long.  If only the step's length mattered, anchors and explorers
would differ under one of them and not under the other.
"""

from tokenspectrum.results.outcome.declare import Curve, OutcomeParams, contrasted, drawn, outcome, shown


class NormalisationParams(OutcomeParams):
    """`results/normalisation`: the subsets and denominators that are compared."""

    methods: tuple[str, ...] = shown("full", "anchor20", "explorer20", "anchor20_all", "explorer20_all")
    contrasts: tuple[tuple[str, str], ...] = contrasted(
        ("anchor20", "explorer20"),
        ("anchor20_all", "explorer20_all"),
        ("anchor20", "anchor20_all"),
        ("explorer20", "explorer20_all"),
    )
    curves: tuple[Curve, ...] = drawn("reward", "length", "grad_norm", "predictive_entropy", "attention_entropy", "Avg")


RESULT = outcome(
    __name__,
    title="normalisation",
    question="Does the difference between anchors and explorers depend on what the loss is divided by?",
    params=NormalisationParams,
    overturned="A difference that turns its sign with the denominator would be one of step length, not of tokens.",
)
