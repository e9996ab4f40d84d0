"""Tests that a claim is decided by.  Each takes numbers and returns a Finding; none knows what the numbers are of.

A Finding has two p-values.  `p_for` is small where the data speak for the claim, `p_against` where they speak
against it.  Both are two-sided, so that a claim holds by chance no more often than in alpha / 2 of all cases, and
holds only where the interval lies on the claimed side.  Equivalence alone is by two one-sided tests.  Undefined is
None: of fewer than two values, or of values without any spread, nothing is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Finding:
    """What the data say of a claim, before the p-values of its family are adjusted.

    `spread` is the standard deviation of the n values that `value` is the mean of, or None.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    of: str = "replicates"
    bases: int = 0
    p_for: float | None = None
    p_against: float | None = None
    spread: float | None = None
    part: str = ""
    note: str = ""


class Paired(tuple[float, ...]):
    """Differences of replicates, which know the base policy of each: a sign that turns between these is told."""

    bases: tuple[Any, ...]

    @classmethod
    def of(cls, values: Sequence[float], bases: Sequence[Any]) -> "Paired":
        """The values, with the base policy of each."""
        made = cls(values)
        made.bases = tuple(bases)
        return made

    @property
    def turns(self) -> bool:
        """Whether the mean difference is above 0 on one base policy and below 0 on another."""
        of = {base: [v for v, b in zip(self, self.bases, strict=True) if b == base] for base in self.bases}
        signs = {float(np.sign(np.mean(values))) for values in of.values()}
        return {1.0, -1.0} <= signs


TURNS = "its sign differs between base policies"


def _test(values: Sequence[float], threshold: float) -> tuple[Finding, float, float | None]:
    """Mean, interval and spread of the values; their mean less the threshold, and the two-sided p of a t-test of it."""
    x = np.asarray(values, np.float64)
    mean = float(x.mean()) if len(x) else None
    if mean is None or len(x) < 2:
        return Finding(mean, n=len(x), note="one value has no spread" if len(x) else "no value"), 0.0, None
    # Sums of eighths are not exact in binary: a spread below rounding is no spread.
    if np.ptp(x) <= 1e-12 * max(1.0, float(np.abs(x).max())):
        return Finding(mean, n=len(x), note="all values are equal, so they have no spread"), 0.0, None
    found = stats.ttest_1samp(x, threshold)
    interval = found.confidence_interval(CONFIDENCE)
    told = TURNS if isinstance(values, Paired) and values.turns else ""
    finding = Finding(mean, float(interval.low), float(interval.high), len(x), spread=float(x.std(ddof=1)), note=told)
    return finding, mean - threshold, float(found.pvalue)


def above(values: Sequence[float], threshold: float = 0.0) -> Finding:
    """For: the mean is above the threshold.  Against: it is below.  By a t-test of the values."""
    finding, side, p = _test(values, threshold)
    return _sided(finding, side, p)


def below(values: Sequence[float], threshold: float = 0.0) -> Finding:
    """For: the mean is below the threshold.  Against: it is above."""
    finding, side, p = _test(values, threshold)
    return _sided(finding, -side, p)


def _sided(finding: Finding, side: float, p: float | None) -> Finding:
    if p is None:
        return finding
    return replace(finding, p_for=p if side > 0 else 1.0, p_against=p if side < 0 else 1.0)


def within(values: Sequence[float], margin: float) -> Finding:
    """For: the mean is within -margin and margin, by two one-sided tests.  Against: it lies outside of them."""
    finding, _, p = _test(values, 0.0)
    if p is None:
        return finding
    p_for = float(DescrStatsW(np.asarray(values, np.float64)).ttost_mean(-margin, margin)[0])
    outside = above(values, margin) if (finding.value or 0.0) > 0 else below(values, -margin)
    return replace(finding, p_for=p_for, p_against=outside.p_for)


def differs(values: Sequence[float], margin: float) -> Finding:
    """For: the mean is not 0.  Against: it is within the margin, by two one-sided tests."""
    finding, _, p = _test(values, 0.0)
    return replace(finding, p_for=p, p_against=within(values, margin).p_for)


def counted(k: int, n: int, share: float) -> Finding:
    """For: of n cases more than this share are so, of which k are.  Against: fewer.  By the exact binomial test."""
    if not n:
        return Finding(note="no value", of="seeds")
    found = stats.binomtest(k, n, share)
    interval, p, side = found.proportion_ci(CONFIDENCE, method="exact"), float(found.pvalue), k / n - share
    enough = [c for c in range(n + 1) if c > share * n and stats.binomtest(c, n, share).pvalue <= 1 - CONFIDENCE]
    needed = f"{min(enough)} of {n} would show it" if enough else f"no count of {n} seeds could show it"
    finding = Finding(k / n, float(interval.low), float(interval.high), n, of="seeds", note=needed)
    return replace(finding, p_for=p if side > 0 else 1.0, p_against=p if side < 0 else 1.0)


def none_of(k: int, n: int) -> Finding:
    """For: none of n is so.  A count and no test, so one case speaks against it; its interval is the binomial one."""
    if not n:
        return Finding(note="no value", of="seeds")
    interval = stats.binomtest(k, n).proportion_ci(CONFIDENCE, method="exact")
    finding = Finding(k / n, float(interval.low), float(interval.high), n, of="seeds")
    return replace(finding, p_for=1.0 if k else 0.0, p_against=0.0 if k else 1.0)


def stated(value: float, low: float | None, high: float | None, n: int, of: str, threshold: float = 0.0) -> Finding:
    """For: a value with a 95 % interval is above the threshold.  Against: below.

    The interval is another result's, over n of `of`, and it may be skewed.  The p-value is that of Student's t with
    the same end towards the threshold, so that it is below 0.05 only where the interval leaves the threshold out.
    An interval that does not hold its value decides nothing, and one of no width is none.
    """
    if low is None or high is None or n < 2:
        return Finding(value, n=n, of=of, note="its result gives no interval")
    if high <= low:
        return Finding(value, n=n, of=of, note=f"no spread over {of}")
    quantile, side = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)), value - threshold
    reach = value - low if side > 0 else high - value
    if reach <= 0:
        return Finding(value, low, high, n, of, note="its interval does not hold its value")
    p = float(2 * stats.t.sf(quantile * abs(side) / reach, n - 1))
    finding = Finding(value, low, high, n, of, spread=float((high - low) / (2 * quantile) * np.sqrt(n)))
    return _sided(finding, side, p)


def mean_of(mean: float, sd: float | None, n: int, of: str, threshold: float = 0.0) -> Finding:
    """For: a mean of n values with this standard deviation is above the threshold.  Against: below."""
    return welch((mean, sd or 0.0, n), (threshold, 0.0, n), of)


def apart(value: float, low: float | None, high: float | None, n: int, of: str, margin: float) -> Finding:
    """For: a value with a 95 % interval is not 0.  Against: it is within the margin, by two tests."""
    found = stated(value, low, high, n, of)
    if found.p_for is None or found.p_against is None:
        return found
    near = every(
        {"below": opposite(stated(value, low, high, n, of, margin)), "above": stated(value, low, high, n, of, -margin)}
    )
    return replace(found, p_for=min(found.p_for, found.p_against), p_against=near.p_for)


def welch(a: tuple[float, float, int], b: tuple[float, float, int], of: str) -> Finding:
    """For: mean a is above mean b, each given as (mean, standard deviation, n).  Against: below.  By Welch's t-test."""
    difference, n = a[0] - b[0], min(a[2], b[2])
    variances = [sd**2 / count for _, sd, count in (a, b)]
    se = float(np.sqrt(sum(variances)))
    if n < 2 or se <= 1e-12 * max(1.0, abs(difference)):
        return Finding(difference, n=n, of=of, note="the values have no spread")
    p = float(stats.ttest_ind_from_stats(*a, *b, equal_var=False).pvalue)
    # Welch and Satterthwaite's degrees of freedom, which scipy uses and does not tell.
    df = sum(variances) ** 2 / sum(v**2 / (count - 1) for v, (_, _, count) in zip(variances, (a, b), strict=True))
    half = se * float(stats.t.ppf((1 + CONFIDENCE) / 2, df))
    finding = Finding(difference, difference - half, difference + half, n, of, spread=float(se * np.sqrt(n)))
    return _sided(finding, difference, p)


def opposite(finding: Finding) -> Finding:
    """The finding on the contrary claim."""
    return replace(finding, p_for=finding.p_against, p_against=finding.p_for)


def every(parts: Mapping[str, Finding]) -> Finding:
    """For: every part is so.  Against: some part is not.

    All parts have to pass, so p_for is the largest of theirs, without adjustment.  One that fails is enough, so
    p_against is the smallest times their number, which is what Holm's method makes of the smallest.  The numbers are
    those of the part that decides.  Of no part nothing is known.
    """
    if not parts:
        return Finding(note="there is no row to decide it from")
    parts = {
        name: replace(part, p_for=_known(part.p_for), p_against=_known(part.p_against)) for name, part in parts.items()
    }
    against = {name: part.p_against for name, part in parts.items() if part.p_against is not None}
    fails = min(against, key=lambda name: against[name], default=None)
    weakest = max(parts, key=lambda name: 2.0 if (p := parts[name].p_for) is None else p)
    p_against = None if fails is None else min(1.0, len(against) * against[fails])
    shown = fails if fails is not None and p_against is not None and p_against < 1 - CONFIDENCE else weakest
    part = ", ".join(filter(None, [str(shown), parts[shown].part])).replace(", (", " (")
    return replace(parts[shown], p_for=parts[weakest].p_for, p_against=p_against, part=part)


def _known(p: float | None) -> float | None:
    """A p-value; None for NaN, which every comparison passes by."""
    return None if p is None or np.isnan(p) else p


def some(parts: Mapping[str, Finding]) -> Finding:
    """For: at least one part is so.  Against: no part is."""
    return opposite(every({name: opposite(part) for name, part in parts.items()}))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted by Holm's method; the family is those that are not None."""
    known = [p for p in p_values if p is not None]
    adjusted = iter(multipletests(known, method="holm")[1] if known else [])
    return [None if p is None else float(next(adjusted)) for p in p_values]
