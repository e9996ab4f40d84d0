"""The first and the last fifth of each response's tokens, beside anchors and explorers.

If anchors and explorers were early and late tokens under another name, they would do as these do.  So all four are
compared with full-token training, and each of anchors and explorers with both positions.
"""

from tokenspectrum.results.outcome.declare import Curve, OutcomeParams, contrasted, drawn, outcome, shown


class PositionParams(OutcomeParams):
    """`results/position`: the positions and subsets that are compared."""

    methods: tuple[str, ...] = shown("full", "front20", "back20", "anchor20", "explorer20")
    contrasts: tuple[tuple[str, str], ...] = contrasted(
        ("front20", "back20"),
        ("anchor20", "front20"),
        ("anchor20", "back20"),
        ("explorer20", "front20"),
        ("explorer20", "back20"),
    )
    curves: tuple[Curve, ...] = drawn("reward", "length", "benchmarks")


RESULT = outcome(
    __name__,
    title="position",
    question="Does a token's place in its response explain what anchors and explorers do?",
    params=PositionParams,
    overturned="Anchors that cannot be told from front tokens, or explorers from back tokens, may be just that.",
)
