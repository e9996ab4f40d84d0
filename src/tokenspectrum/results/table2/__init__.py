"""Soft reweighting against its reverse and against weights that do not move, at one layer.

Accuracy on each benchmark, Avg, and Avg without the hardest benchmark, each tested against full-token training.  The
low2high rule is also tested against each of the others.  The curves are held-out accuracy over checkpoints: Avg, and
the hardest benchmark alone.
"""

from tokenspectrum.results.outcome.declare import Curve, OutcomeParams, contrasted, drawn, outcome, shown


class Table2Params(OutcomeParams):
    """`results/table2`: the schedules that are compared."""

    methods: tuple[str, ...] = shown("full", "static_anchor_mid", "static_explorer_mid", "high2low_mid", "low2high_mid")
    contrasts: tuple[tuple[str, str], ...] = contrasted(
        ("low2high_mid", "high2low_mid"),
        ("low2high_mid", "static_anchor_mid"),
        ("low2high_mid", "static_explorer_mid"),
    )
    curves: tuple[Curve, ...] = drawn("Avg", "hardest")


RESULT = outcome(
    __name__,
    title="schedules",
    question="Does the order matter in which anchors and explorers are weighted?",
    params=Table2Params,
    overturned="A schedule that does as well reversed, or without any movement, is not what helps.",
)
