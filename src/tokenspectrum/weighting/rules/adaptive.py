"""A curriculum that goes on while training is stable, waits where it is not, and goes back where it collapses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tokenspectrum.params.base import LEFT_OUT
from tokenspectrum.weighting.rule import Seen
from tokenspectrum.weighting.rules.soft import Ends, SoftRule

if TYPE_CHECKING:
    from tokenspectrum.weighting.batch import TokenBatch
    from tokenspectrum.weighting.outcome import Outcome


class Adaptive(SoftRule):
    """Low2high whose r is measured and not scheduled.

    After each step, with means over the last `window` steps (half of the steps there were, if those are fewer):

    - collapse: length is outside `collapse_length` times that of the first window, or reward is `collapse_reward` below
      its best window.  Then r falls by `fall`.
    - else r waits, if reward gained less than `reward_gain` over the window before, or if length moved by more than
      `length_drift` of that window's, or if the last probe's cosine is below `cosine`.
    - else r grows by 1 / `pace`.  r stays within 0 and 1.
    """

    kind: Literal["adaptive"] = Field(..., description="low2high that advances while training is stable")
    pace: int = Field(default=30, ge=1, description="stable steps from one end to the other, like s_warm of low2high")
    window: int = Field(default=5, ge=1, description="steps in a mean of reward or length")
    reward_gain: float = Field(default=0.0, description="r waits if mean reward gained less than this between windows")
    length_drift: float = Field(
        default=0.1, gt=0, description="r waits if mean length moved by more than this fraction between windows"
    )
    collapse_length: tuple[float, float] = Field(
        default=(0.5, 1.6), description="r falls if mean length is outside these times that of the first window"
    )
    collapse_reward: float = Field(default=0.3, gt=0, description="r falls if mean reward is this much below its best")
    fall: float = Field(default=0.1, gt=0, le=1, description="what r falls by at a step that looks like a collapse")
    probe_every: int = Field(
        default=0,
        ge=0,
        description="steps from one gradient probe to the next, from step 1 on; 0: none.  A probe measures the cosine "
        "between the gradient of the weighted batch and that of all its tokens; trainer local only",
    )
    cosine: Annotated[Annotated[float, Field(ge=-1, le=1)] | None, LEFT_OUT] = Field(
        None, description="r waits if the cosine of the last probe was below this; belongs to probe_every"
    )
    w_low: ClassVar[Ends] = (1.0, 0.0)
    w_high: ClassVar[Ends] = (0.0, 1.0)

    @field_validator("collapse_length")
    @classmethod
    def _bounds_hold_one(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= bounds[0] < 1 < bounds[1]:
            raise ValueError(
                f"{list(bounds)} are not a bound below 1 and one above it: every length would be a collapse"
            )
        return bounds

    @model_validator(mode="after")
    def _bound_of_a_probe(self) -> "Adaptive":
        if (self.probe_every > 0) != (self.cosine is not None):
            raise ValueError("probe_every above 0 and cosine belong together: give both, or neither")
        return self

    @property
    def memory(self) -> Mapping[str, Any]:
        return {"ramp": 0.0, "reason": "start", "rewards": [], "lengths": [], "cosine": None}

    def probes(self, step: int) -> bool:
        return self.probe_every > 0 and (step - 1) % self.probe_every == 0

    def after(self, memory: Mapping[str, Any], seen: Seen) -> Mapping[str, Any]:
        rewards, lengths = [*memory["rewards"], seen.reward], [*memory["lengths"], seen.length]
        cosine = memory["cosine"] if seen.cosine is None else seen.cosine
        reason = self.judged(rewards, lengths, cosine)
        move = -self.fall if reason.startswith("collapse") else 1 / self.pace if reason == "stable" else 0.0
        r = min(1.0, max(0.0, memory["ramp"] + move))
        return {"ramp": r, "reason": reason, "rewards": rewards, "lengths": lengths, "cosine": cosine}

    def judged(self, rewards: Sequence[float], lengths: Sequence[float], cosine: float | None) -> str:
        """`stable`, or why r does not advance, after these steps and the last probe."""
        w = min(self.window, len(rewards) // 2)
        if w == 0:
            return "start"
        reward, length = _means(rewards, w), _means(lengths, w)
        low, high = (bound * length[0] for bound in self.collapse_length)
        if not low <= length[-1] <= high:
            return "collapse: length"
        if max(reward) - reward[-1] > self.collapse_reward:
            return "collapse: reward"
        if reward[-1] - reward[-1 - w] < self.reward_gain:
            return "reward stagnates"
        if abs(length[-1] - length[-1 - w]) > self.length_drift * length[-1 - w]:
            return "length drifts"
        if self.cosine is not None and cosine is not None and cosine < self.cosine:
            return "gradient turns away"
        return "stable"

    def weigh(self, batch: "TokenBatch") -> "Outcome":
        """Where there is no memory, as on the base policy's probe, r is that of stable steps alone."""
        from tokenspectrum.weighting.rules._schedule import ramp
        from tokenspectrum.weighting.rules._soft import soft

        if batch.memory is None:
            return soft(self, batch, ramp(batch.s, self.pace))
        found = soft(self, batch, batch.memory["ramp"])
        return replace(found, extra={**found.extra, "reason": batch.memory["reason"]})

    @property
    def shown_at(self) -> tuple[int, ...]:
        return (0, self.pace)


def _means(values: Sequence[float], w: int) -> list[float]:
    """The mean of each run of w neighbours, in order."""
    return [sum(values[i : i + w]) / w for i in range(len(values) - w + 1)]
