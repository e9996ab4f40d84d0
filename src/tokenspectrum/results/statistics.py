"""Statistics of a results table: spread over replicates, paired tests against a reference, and their power.

Knows arrays of numbers; nothing of runs, benchmarks' meaning or files.  Undefined is None, never a made-up number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from tokenspectrum.counter import stream_key, uniforms


@dataclass(frozen=True)
class Summary:
    """How many values there are, their mean and their standard deviation (divided by n - 1; None where n < 2)."""

    n: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class PairedTest:
    """Two-sided paired t-test of `difference` = mean(a - b) over n pairs, with its confidence interval."""

    n: int
    difference: float
    sd: float
    df: int
    t: float
    p: float
    low: float
    high: float


def summary(values: Sequence[float]) -> Summary:
    """n, mean and standard deviation over replicates."""
    n = len(values)
    mean = float(np.mean(values)) if n else None
    return Summary(n, mean, float(np.std(values, ddof=1)) if n > 1 else None)


def paired_t(a_S: Sequence[float], b_S: Sequence[float], confidence: float = 0.95) -> PairedTest | None:
    """Paired t-test (scipy's) of a against b, matched by position (replicate).  None where it is undefined.

    That is with fewer than two pairs, or when all differences are equal: their spread is 0, so t would divide by 0.
    """
    d_S = np.asarray(a_S, np.float64) - np.asarray(b_S, np.float64)
    n = len(d_S)
    # Sums of eighths are not exact in binary: a spread below rounding is no spread.
    if n < 2 or np.ptp(d_S) <= 1e-12 * max(1.0, float(np.abs(d_S).max())):
        return None
    test = stats.ttest_rel(a_S, b_S)
    interval = test.confidence_interval(confidence)
    return PairedTest(
        n=n,
        difference=float(d_S.mean()),
        sd=float(d_S.std(ddof=1)),
        df=int(test.df),
        t=float(test.statistic),
        p=float(test.pvalue),
        low=float(interval.low),
        high=float(interval.high),
    )


RESAMPLED_TOGETHER = 1 << 21  # groups of all draws that are counted at a time

# Up to so many differences all sign patterns are gone through: 2^15 of them.
MOST_FLIPPED = 15


def sign_flip(d_R: Sequence[float]) -> float | None:
    """Exact two-sided p-value of the mean of n differences, if each sign were a fair coin's (scipy's permutations).

    It assumes no normal distribution.  Its smallest value is 2^(1 - n): 0.25 for n = 3.  None for n below 2, and above
    MOST_FLIPPED.  ValueError for a difference that is not finite: no pattern of signs could reach it.
    """
    if not np.isfinite(d_R).all():
        raise ValueError(f"sign_flip: a difference is not finite: {list(d_R)}")
    if not 2 <= len(d_R) <= MOST_FLIPPED:
        return None
    data = (np.asarray(d_R, np.float64),)
    return float(stats.permutation_test(data, np.mean, permutation_type="samples", n_resamples=np.inf).pvalue)


@dataclass(frozen=True)
class Parts:
    """Standard deviation between base policies, and between seeds on one base policy.  None where it cannot be told."""

    bases: float | None
    seeds: float | None


UNKNOWN = Parts(None, None)


def parts(d_R: Sequence[float], bases: Sequence[int]) -> Parts:
    """The two parts of the variance of d_R, by a one-way random-effects analysis of variance.

    MS_within = SS_within / (n - B) is the part of seeds.  The part of bases is (MS_between - MS_within) / n0, with
    n0 = (n - sum n_b^2 / n) / (B - 1), and at least 0.  With one seed a base the two cannot be told apart: both None.
    """
    value_R = np.asarray(d_R, np.float64)
    groups = [value_R[[b == base for b in bases]] for base in dict.fromkeys(bases)]
    n, n_bases = len(value_R), len(groups)
    if n == n_bases:
        return UNKNOWN
    within = sum(float(((g - g.mean()) ** 2).sum()) for g in groups) / (n - n_bases)
    if n_bases == 1:
        return Parts(None, math.sqrt(within))
    between = sum(len(g) * float((g.mean() - value_R.mean()) ** 2) for g in groups) / (n_bases - 1)
    size = (n - sum(len(g) ** 2 for g in groups) / n) / (n_bases - 1)
    return Parts(math.sqrt(max(0.0, between - within) / size), math.sqrt(within))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted by Holm's step-down method.  The family is those that are not None; scipy has no Holm."""
    order = sorted(((i, p) for i, p in enumerate(p_values) if p is not None), key=lambda pair: pair[1])
    adjusted: list[float | None] = [None] * len(p_values)
    worst = 0.0
    for rank, (i, p) in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - rank) * p))
        adjusted[i] = worst
    return adjusted


def power_of_paired_t(ncp: float, n: int, alpha: float) -> float:
    """Chance that a two-sided paired t-test of n pairs at level alpha rejects, where ncp = effect * sqrt(n) / sd.

    The statistic is noncentral t: (Z + ncp) / sqrt(C / df), Z normal, C chi-squared with df = n - 1.  Given Z = z it
    passes the cut when C < df ((z + ncp) / cut)^2; what is left is a smooth integral over z, summed on a grid.
    scipy's own noncentral t returns NaN at many ordinary arguments.
    """
    df = n - 1
    cut = stats.t.ppf(1 - alpha / 2, df)
    z_Z = np.linspace(-9.0, 9.0, 4001)
    passed_Z = special.chdtr(df, df * ((z_Z + ncp) / cut) ** 2)
    return float(np.sum(stats.norm.pdf(z_Z) * passed_Z) * (z_Z[1] - z_Z[0]))


def minimum_detectable_difference(sd: float, n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true mean difference that the paired test finds with the given power.

    MDD = ncp* sd / sqrt(n), where ncp* solves P(|T'| > t_{1-alpha/2, n-1}) = power for T' noncentral t with n - 1
    degrees of freedom and noncentrality ncp*.  sd is of the paired differences, in their unit; n >= 2 pairs.
    """
    top = 1.0
    while power_of_paired_t(top, n, alpha) < power:
        top *= 2
    ncp = optimize.brentq(lambda x: power_of_paired_t(x, n, alpha) - power, 0.0, top, xtol=1e-10)
    return ncp * sd / math.sqrt(n)


def bootstrap_interval(
    differences: Mapping[str, np.ndarray], draws: int, seed: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the difference in Avg, by a bootstrap that resamples replicates, then problems.

    `differences[benchmark]` is d_SP: replicates by problems, the row's accuracy less the reference's.  Every draw takes
    S replicates with replacement, shared by all benchmarks, then P problems of each benchmark with replacement.
    Problems are crossed with replicates (all answer the same ones), so one draw of problems serves all drawn
    replicates: drawing them anew for each would average their variance away.  Same seed, same draws, whatever the row.
    """
    n_seeds = next(iter(differences.values())).shape[0]
    means_D = np.zeros(draws)
    seeds_DS = _indices("seeds", seed, draws, n_seeds)
    weight_DS = np.stack([(seeds_DS == s).sum(axis=1) for s in range(n_seeds)], axis=1) / n_seeds
    for benchmark, d_SP in differences.items():
        problems_DP = _indices(f"problems\x1f{benchmark}", seed, draws, d_SP.shape[1])
        means_D += np.take_along_axis(weight_DS @ d_SP, problems_DP, axis=1).mean(axis=1)
    low, high = np.quantile(means_D / len(differences), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _indices(what: str, seed: int, draws: int, n: int, first: int = 0) -> np.ndarray:
    """Random indices in [0, n), draws x n of them from the `first` draw on.  They are hashes of `what` and `seed`."""
    key = np.array([stream_key("bootstrap", seed, 0, what, 0)], np.uint64)
    return np.floor(uniforms(key, np.arange(first * n, (first + draws) * n)) * n).astype(np.int64).reshape(draws, n)


def resampled(groups: int, draws: int, seed: int, first: int = 0) -> np.ndarray:
    """How often each of `groups` groups is in each of `draws` resamples of them: int64 (draws, groups)."""
    return np.stack([np.bincount(row, minlength=groups) for row in _indices("groups", seed, draws, groups, first)])


def group_sums(x_N: np.ndarray, y_N: np.ndarray, n_G: np.ndarray) -> np.ndarray:
    """float64 (groups, 6): sums of 1, x, y, x^2, y^2 and x y over the first n values, the next n, and so on."""
    start_G = np.cumsum(n_G) - n_G
    products = ((x_N,), (y_N,), (x_N, x_N), (y_N, y_N), (x_N, y_N))
    return np.stack([n_G.astype(np.float64), *(np.add.reduceat(math.prod(of), start_G) for of in products)], axis=1)


def resampled_correlations(
    of_KG6: Sequence[np.ndarray], draws: int, seed: int, confidence: float = 0.95
) -> list[tuple[float | None, float | None, float | None]]:
    """Pearson's r of each pair of variables, with the percentile interval of a bootstrap that resamples groups.

    A pair is its `group_sums`, best of values less their mean.  r of a draw follows from those of the drawn groups.
    For Spearman's, give sums of ranks.  All None where a variable is constant; no interval of a single group.
    """

    def correlation(of_D6: np.ndarray) -> np.ndarray:
        n, x, y, xx, yy, xy = of_D6.T
        spread = (xx - x * x / n) * (yy - y * y / n)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 0, (xy - x * y / n) / np.sqrt(spread), np.nan)

    groups = len(of_KG6[0])
    r_K = [float(correlation(of_G6.sum(0, keepdims=True))[0]) if groups else math.nan for of_G6 in of_KG6]
    drawn_K: list[list[np.ndarray]] = [[] for _ in of_KG6]
    together = max(1, RESAMPLED_TOGETHER // max(1, groups))
    for first in range(0, draws if groups > 1 else 0, together):
        counts_DG = resampled(groups, min(together, draws - first), seed, first)
        for drawn, of_G6 in zip(drawn_K, of_KG6, strict=True):
            drawn.append(correlation(counts_DG @ of_G6))
    found: list[tuple[float | None, float | None, float | None]] = []
    for r, drawn in zip(r_K, drawn_K, strict=True):
        if math.isnan(r):
            found.append((None, None, None))
        elif not drawn:
            found.append((r, None, None))
        else:
            low, high = np.nanquantile(np.concatenate(drawn), [(1 - confidence) / 2, (1 + confidence) / 2])
            found.append((r, float(low), float(high)))
    return found


def t_interval(mean: float, sd: float | None, n: int, confidence: float = 0.95) -> tuple[float | None, float | None]:
    """Interval of a mean of n values by Student's t; None twice for fewer than two."""
    if sd is None or n < 2:
        return None, None
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * sd / math.sqrt(n)
    return mean - half, mean + half
