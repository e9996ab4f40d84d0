"""The curriculum that advances by measured stability, against the scheduled one and against all tokens.

Beside accuracy there are two things of the adaptive rule itself.  Curves of `ramp`: r, from 0 (anchors) to 1
(explorers), at each step.  Rows `reason`: in how many of a run's steps r stood where it did for which reason.
"""

from dataclasses import replace

from tokenspectrum.results.declare import Column
from tokenspectrum.results.outcome.declare import Curve, OutcomeParams, contrasted, drawn, outcome, shown


class AdaptiveParams(OutcomeParams):
    """`results/adaptive`: the curricula that are compared."""

    methods: tuple[str, ...] = shown("full", "low2high_mid", "adaptive")
    contrasts: tuple[tuple[str, str], ...] = contrasted(("adaptive", "low2high_mid"))
    curves: tuple[Curve, ...] = drawn("reward", "length", "Avg")


RESULT = outcome(
    __name__,
    title="adaptive curriculum",
    question="Does a curriculum that waits for stable training do better than one on a schedule?",
    params=AdaptiveParams,
    overturned="An r that never waits makes it the scheduled curriculum, whatever the accuracies say.",
)
_OF = {"what": "outcome: accuracy at the end; curve: a value at a step; reason: steps of a run with this reason"}
_OF["metric"] = f"{next(c.about for c in RESULT.columns if c.name == 'metric')}; ramp; or the reason for r"
RESULT = replace(RESULT, columns=tuple(Column(c.name, c.kind, _OF.get(c.name, c.about)) for c in RESULT.columns))
