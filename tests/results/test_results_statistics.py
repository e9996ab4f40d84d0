"""Statistics against textbook formulas written out, quadrature, simulation and brute-force loops."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from tokenspectrum.results import statistics as s

A, B = [52.5, 55.0, 51.25, 58.0], [50.0, 51.5, 51.5, 52.0]


def test_summary_counts_means_and_spreads():
    assert s.summary([]) == s.Summary(0, None, None)
    assert s.summary([3.0]) == s.Summary(1, 3.0, None)
    out = s.summary([1.0, 2.0, 6.0])
    assert (out.n, out.mean) == (3, 3.0)
    assert out.sd == pytest.approx(math.sqrt((4 + 1 + 9) / 2))


def test_paired_t_by_hand_and_by_scipy():
    out = s.paired_t(A, B)
    d = [a - b for a, b in zip(A, B, strict=True)]
    mean = sum(d) / 4
    sd = math.sqrt(sum((x - mean) ** 2 for x in d) / 3)
    assert (out.n, out.df) == (4, 3)
    assert out.difference == pytest.approx(mean)
    assert out.sd == pytest.approx(sd)
    assert out.t == pytest.approx(mean / (sd / 2))
    reference = stats.ttest_rel(A, B)
    assert out.p == pytest.approx(reference.pvalue)
    interval = reference.confidence_interval(0.95)
    assert (out.low, out.high) == pytest.approx((interval.low, interval.high))


def test_paired_t_with_three_seeds_against_the_closed_form_of_two_degrees_of_freedom():
    # F(t; 2) = 1/2 + t / (2 sqrt(2 + t^2)), so p = 1 - |t| / sqrt(2 + t^2), and the 97.5 % point is 4.302653.
    out = s.paired_t([1.0, 2.0, 4.5], [0.5, 0.0, 1.0])
    assert out.p == pytest.approx(1 - abs(out.t) / math.sqrt(2 + out.t**2))
    assert out.high - out.difference == pytest.approx(4.302652729911275 * out.sd / math.sqrt(3))


def test_paired_t_is_none_where_undefined():
    assert s.paired_t([1.0], [0.0]) is None
    assert s.paired_t([], []) is None
    assert s.paired_t([0.0, 0.0], [0.0, 0.0]) is None
    assert s.paired_t([0.3, 0.4, 0.5], [0.2, 0.3, 0.4]) is None  # equal differences, up to rounding


def test_a_wider_confidence_gives_a_wider_interval():
    narrow, wide = s.paired_t(A, B, 0.9), s.paired_t(A, B, 0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@given(st.lists(st.integers(-40, 40).map(lambda x: x / 8), min_size=2, max_size=8))
def test_the_sign_flip_p_against_every_pattern_of_signs(d):
    means = [sum(a * b for a, b in zip(signs, d, strict=True)) for signs in itertools.product((1, -1), repeat=len(d))]
    extreme = sum(abs(mean) >= abs(sum(d)) - 1e-9 for mean in means)
    p = s.sign_flip(d)
    assert p == pytest.approx(extreme / 2 ** len(d))
    assert p >= 2 ** (1 - len(d)) - 1e-12
    assert p == pytest.approx(s.sign_flip([-x for x in d]))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_difference_that_is_not_finite_has_no_p(bad):
    with pytest.raises(ValueError, match="a difference is not finite"):
        s.sign_flip([1.0, 2.0, bad])


@pytest.mark.parametrize("n", range(2, 11))
def test_the_floor_of_the_sign_flip_p_is_reached_where_all_signs_are_the_same(n):
    assert s.sign_flip([1.0 + i / 7 for i in range(n)]) == pytest.approx(2.0 ** (1 - n))


def test_sign_flip_is_none_where_it_is_not_computed():
    assert s.sign_flip([]) is s.sign_flip([1.0]) is None
    assert s.sign_flip([1.0] * (s.MOST_FLIPPED + 1)) is None
    assert s.sign_flip([0.0, 0.0, 0.0]) == 1.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-20, 20).map(float)), min_size=1, max_size=12))
def test_the_parts_of_the_variance_against_loops(pairs):
    bases, d = [b for b, _ in pairs], [x for _, x in pairs]
    groups = {base: [x for b, x in pairs if b == base] for base in bases}
    found, n, n_bases = s.parts(d, bases), len(d), len(groups)
    if n == n_bases:
        assert found == s.UNKNOWN
        return
    within = sum((x - sum(g) / len(g)) ** 2 for g in groups.values() for x in g) / (n - n_bases)
    assert found.seeds == pytest.approx(math.sqrt(within))
    if n_bases == 1:
        assert found.bases is None
        return
    mean = sum(d) / n
    between = sum((sum(g) / len(g) - mean) ** 2 for g in groups.values() for _ in g) / (n_bases - 1)
    size = (n - sum(len(g) ** 2 for g in groups.values()) / n) / (n_bases - 1)
    assert found.bases == pytest.approx(math.sqrt(max(0.0, (between - within) / size)), abs=1e-6)


def test_the_parts_of_a_simulated_design_are_those_it_was_made_with():
    rng = np.random.default_rng(4)
    n_bases, n_seeds = 400, 5
    bases = np.repeat(np.arange(n_bases), n_seeds)
    d = 7 + rng.normal(0, 3.0, n_bases)[bases] + rng.normal(0, 1.5, n_bases * n_seeds)
    order = rng.permutation(len(d))  # no matter in which order replicates stand
    found = s.parts(d[order], bases[order])
    assert found.bases == pytest.approx(3.0, rel=0.1)
    assert found.seeds == pytest.approx(1.5, rel=0.05)
    assert s.parts(d[order] - 7, bases[order]).bases == pytest.approx(found.bases)


def test_parts_that_cannot_be_told():
    assert s.parts([1.0, 2.0, 4.0], [1, 2, 3]) == s.UNKNOWN  # one seed a base
    assert s.parts([1.0], [1]) == s.UNKNOWN
    assert s.parts([1.0, 3.0], [7, 7]) == s.Parts(None, math.sqrt(2))  # one base
    # Bases that differ by less than seeds do have a part of 0, not of a negative variance.
    assert s.parts([0.0, 4.0, 1.0, 3.0], [1, 1, 2, 2]).bases == 0.0


def test_holm_on_a_worked_example_with_blanks():
    # 0.01*4, then max(.04, 0.02*3), max(.06, 0.03*2), max(.06, 0.5*1)
    assert s.holm([0.03, None, 0.01, 0.5, 0.02]) == pytest.approx([0.06, None, 0.04, 0.5, 0.06], nan_ok=True)
    assert s.holm([None, None]) == [None, None]
    assert s.holm([0.8, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.01, 0.2))
def test_holm_rejects_just_what_the_step_down_procedure_rejects(ps, alpha):
    rejected = set()
    remaining = sorted(range(len(ps)), key=lambda i: ps[i])
    while remaining and ps[remaining[0]] * len(remaining) <= alpha:
        rejected.add(remaining.pop(0))
    assert {i for i, q in enumerate(s.holm(ps)) if q <= alpha} == rejected


@pytest.mark.parametrize(("n", "alpha"), [(2, 0.05), (3, 0.05), (3, 0.01), (8, 0.05), (30, 0.05)])
def test_power_against_quadrature_over_the_sample_deviation(n, alpha):
    # T' = (Z + ncp) / (s / sigma): integrate the normal tails over the chi distribution of the sample deviation.
    effect, sd, df = 1.3, 0.9, n - 1
    ncp, cut = effect * math.sqrt(n) / sd, stats.t.ppf(1 - alpha / 2, df)

    def tails(x: float) -> float:
        r = cut * x / math.sqrt(df)
        return (stats.norm.sf(r - ncp) + stats.norm.cdf(-r - ncp)) * stats.chi.pdf(x, df)

    expected, _ = integrate.quad(tails, 0, stats.chi.isf(1e-14, df), limit=400)
    assert s.power_of_paired_t(ncp, n, alpha) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_the_minimum_detectable_difference_has_the_power_it_promises(n, alpha):
    mdd = s.minimum_detectable_difference(0.7, n, 0.8, alpha)
    assert s.power_of_paired_t(mdd * math.sqrt(n) / 0.7, n, alpha) == pytest.approx(0.8, abs=1e-6)
    assert s.minimum_detectable_difference(1.4, n, 0.8, alpha) == pytest.approx(2 * mdd)
    assert s.minimum_detectable_difference(0.7, n, 0.9, alpha) > mdd


def test_with_no_effect_the_power_is_alpha_and_scipy_agrees_where_it_gives_a_number():
    assert s.power_of_paired_t(0.0, 3, 0.05) == pytest.approx(0.05, abs=1e-6)
    cut = stats.t.ppf(0.975, 2)
    assert s.power_of_paired_t(5.0, 3, 0.05) == pytest.approx(stats.nct.sf(cut, 2, 5) + stats.nct.cdf(-cut, 2, 5))


def test_simulated_experiments_at_the_minimum_detectable_difference_reject_four_times_in_five():
    n, sd = 3, 2.0
    mdd = s.minimum_detectable_difference(sd, n)
    d = np.random.default_rng(1).normal(mdd, sd, (20_000, n))
    t = d.mean(1) / (d.std(1, ddof=1) / math.sqrt(n))
    assert np.mean(np.abs(t) > stats.t.ppf(0.975, n - 1)) == pytest.approx(0.8, abs=0.01)


def test_bootstrap_is_repeatable_and_its_options_matter():
    d = {"a": np.random.default_rng(0).normal(1, 1, (3, 40)), "b": np.random.default_rng(1).normal(0, 1, (3, 20))}
    first = s.bootstrap_interval(d, 500, 0)
    assert first == s.bootstrap_interval(d, 500, 0)
    assert first != s.bootstrap_interval(d, 500, 1)
    assert first != s.bootstrap_interval(d, 501, 0)
    narrow = s.bootstrap_interval(d, 500, 0, 0.5)
    assert first[0] < narrow[0] < narrow[1] < first[1]


def test_bootstrap_against_a_plain_loop_over_draws_with_another_generator():
    rng = np.random.default_rng(3)
    seeds = rng.normal(0, 0.5, (3, 1))
    d = {"a": 1 + seeds + rng.normal(0, 1, (3, 30)), "b": 2 + seeds + rng.normal(0, 2, (3, 12))}
    draw, means = random.Random(5), []
    for _ in range(4000):
        chosen = [draw.randrange(3) for _ in range(3)]
        total = 0.0
        for x in d.values():
            problems = [draw.randrange(x.shape[1]) for _ in range(x.shape[1])]
            total += sum(x[i, j] for i in chosen for j in problems) / (3 * len(problems))
        means.append(total / 2)
    expected = np.quantile(means, [0.025, 0.975])
    assert s.bootstrap_interval(d, 8000, 0) == pytest.approx(tuple(expected), abs=0.05)


def test_bootstrap_of_constant_differences_is_that_constant():
    d = {"a": np.full((2, 5), 0.25), "b": np.full((2, 7), 0.75)}
    assert s.bootstrap_interval(d, 50, 0) == pytest.approx((0.5, 0.5))


def test_bootstrap_sees_both_seeds_and_problems_vary():
    by_seed = {"a": np.array([[0.0] * 20, [1.0] * 20, [2.0] * 20])}
    low, high = s.bootstrap_interval(by_seed, 1000, 0)
    assert (low, high) == pytest.approx((0.0, 2.0), abs=1e-9)
    by_problem = {"a": np.array([[0.0, 1.0] * 10] * 3)}
    low, high = s.bootstrap_interval(by_problem, 2000, 0)
    # 20 crossed problems: the spread is that of 20 draws, not of 60.
    assert (high - low) / 2 == pytest.approx(1.96 * 0.5 / math.sqrt(20), rel=0.15)
