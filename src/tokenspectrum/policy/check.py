"""Check the base policy by the params: ranges, gaps between benchmarks, and a minimum above guessing.

A tiny policy learns its task suddenly, and some seeds do not get there in time.  Comparisons on such a policy mean
nothing.  Knows accuracies, not models.
"""

from collections.abc import Mapping, Sequence, Sized
from itertools import pairwise

import numpy as np

from tokenspectrum.errors import UserError
from tokenspectrum.params.policy import Check


def mean_and_error(accuracy_P: Sequence[float]) -> tuple[float, float]:
    """Mean over problems of each problem's mean over samples, and its standard error over problems."""
    values = np.asarray(accuracy_P, np.float64)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def problems_with(check: Check, scores: Mapping[str, tuple[float, float]]) -> list[str]:
    """One phrase for each condition of `check` that `scores` (benchmark -> mean@k, standard error) do not meet."""
    found = []
    for r in check.ranges:
        mean = scores[r.benchmark][0]
        if not r.low <= mean <= r.high:
            found.append(f"{r.benchmark} {mean:.3f} is outside {r.low} to {r.high}")
    for easier, harder in pairwise(check.benchmarks):
        gap = scores[easier][0] - scores[harder][0]
        if gap < check.min_gap:
            found.append(f"{harder} is {gap:.3f} below {easier}, not {check.min_gap}")
    hardest = check.benchmarks[-1]
    mean, error = scores[hardest]
    if mean < check.guess_floor + check.floor_errors * error:
        found.append(
            f"{hardest} {mean:.3f} is not {check.floor_errors:g} standard errors ({error:.3f}) above guessing "
            f"({check.guess_floor})"
        )
    return found


def check_policy(check: Check, scores: Mapping[str, tuple[float, float]]) -> None:
    """Raise a UserError that lists all conditions that the policy does not meet."""
    if found := problems_with(check, scores):
        raise UserError(
            f"policy.check: the base policy is not fit to train on: {'; '.join(found)}.  "
            "Put another number in bases, change policy.training, or widen policy.check"
        )


def require_benchmarks(check: Check, available: Mapping[str, Sized]) -> None:
    """Raise a UserError if the check names a benchmark that was not made, or one of a single problem."""
    if missing := [name for name in check.benchmarks if name not in available]:
        raise UserError(
            f"policy.check.ranges names {missing[0]}, but the benchmarks are {', '.join(available)}; "
            "correct it, or set policy.check to null"
        )
    for name in check.benchmarks:
        if len(available[name]) < 2:
            raise UserError(
                f"policy.check.ranges: {name} has 1 problem, but a standard error takes 2 or more; "
                "raise its limit, or set policy.check to null"
            )
