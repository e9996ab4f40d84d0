"""Controls: what is left of anchors, explorers and low2high if what they share with other tokens is held equal.

A matched control keeps as many tokens of each type, of each tenth of a response, or of each type, place and predictive
entropy together, as the mask that it matches, chosen by chance.  Of low2high, `equal_mean` keeps the smaller step
alone, `shuffled` and `permuted` keep the uneven weights too, and `floor` gives no token less than half.

Rows `realised` say what the rules came to, mean over the steps of a run: `overlap` is the share of a covariate-matched
mask that the matched mask keeps too.  Near 1, chance had no choice, and the control says nothing.
"""

from dataclasses import replace

from tokenspectrum.results.declare import Column
from tokenspectrum.results.outcome.declare import Curve, OutcomeParams, contrasted, drawn, outcome, shown


class ControlsParams(OutcomeParams):
    """`results/controls`: the rules and their controls."""

    methods: tuple[str, ...] = shown(
        "full",
        "anchor20",
        "type_anchor20",
        "position_anchor20",
        "covariate_anchor20",
        "explorer20",
        "type_explorer20",
        "position_explorer20",
        "covariate_explorer20",
        "low2high_mid",
        "low2high_shuffled",
        "low2high_permuted",
        "low2high_equal_mean",
        "low2high_floor",
    )
    contrasts: tuple[tuple[str, str], ...] = contrasted(
        ("anchor20", "type_anchor20"),
        ("anchor20", "position_anchor20"),
        ("anchor20", "covariate_anchor20"),
        ("explorer20", "type_explorer20"),
        ("explorer20", "position_explorer20"),
        ("explorer20", "covariate_explorer20"),
        ("low2high_mid", "low2high_shuffled"),
        ("low2high_mid", "low2high_permuted"),
        ("low2high_mid", "low2high_equal_mean"),
        ("low2high_mid", "low2high_floor"),
    )
    curves: tuple[Curve, ...] = drawn("reward", "Avg")


RESULT = outcome(
    __name__,
    title="controls",
    question="Is it these tokens, or what they share with others: their type, place, entropy, or a smaller step?",
    params=ControlsParams,
    overturned="A control that does as its rule does: then what it holds equal is enough to explain the rule.",
)
_OF = {"what": "outcome: accuracy at the end; curve: a value at a step; realised: what the rule came to in training"}
_OF["metric"] = f"{next(c.about for c in RESULT.columns if c.name == 'metric')}; of realised: kept_fraction, "
_OF["metric"] += "mean_weight, overlap or at_floor"
RESULT = replace(RESULT, columns=tuple(Column(c.name, c.kind, _OF.get(c.name, c.about)) for c in RESULT.columns))
