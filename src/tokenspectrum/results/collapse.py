"""In which of three ways a training run collapsed, from its length and reward over steps.  Knows no run and no file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenspectrum.results.options import CollapseParams

SHORT, UNSTABLE, LATE = "short responses", "length instability", "late degeneration"


@dataclass(frozen=True)
class Verdict:
    """The mode of a collapse, and the place of the last step of the first window that shows it; None: it survived."""

    mode: str | None = None
    since: int | None = None


def judge(length_S: Sequence[float], reward_S: Sequence[float], rule: CollapseParams) -> Verdict:
    """The first of three that holds, of S steps, by means over a window of steps (at most half of the run).

    Short responses: the last window's length is below length_below times the first one's.  Length instability: some
    window's is above length_above times it.  Late degeneration: the last window's reward is more than reward_drop below
    the best one's.
    """
    window = min(rule.window, max(1, len(length_S) // 2))
    length_W, reward_W = (windows(values, window) for values in (length_S, reward_S))
    short_W = length_W < rule.length_below * length_W[0]
    long_W = length_W > rule.length_above * length_W[0]
    late_W = np.maximum.accumulate(reward_W) - reward_W > rule.reward_drop
    for mode, there_W in ((SHORT, short_W), (UNSTABLE, long_W), (LATE, late_W)):
        if there_W.any() if mode == UNSTABLE else there_W[-1]:
            # Of a state that has to hold at the end: since when it holds without a break.
            breaks = np.flatnonzero(~there_W)
            held = int(breaks[-1]) + 1 if len(breaks) else 0
            first = int(np.argmax(there_W)) if mode == UNSTABLE else held
            return Verdict(mode, first + window)
    return Verdict()


def windows(values_S: Sequence[float], window: int) -> np.ndarray:
    """The mean of each window of so many steps, from the first to the last: S - window + 1 of them."""
    return np.lib.stride_tricks.sliding_window_view(np.asarray(values_S, np.float64), window).mean(axis=1)
