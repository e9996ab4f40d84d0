"""Findings and verdicts: tests against scipy and statsmodels, Holm within a family, and what is missing."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from tokenspectrum.results.claims.claim import Claim
from tokenspectrum.results.claims.judge import (
    Finding,
    above,
    below,
    counted,
    differs,
    every,
    mean_of,
    none_of,
    opposite,
    some,
    stated,
    welch,
    within,
)  # fmt: skip
from tokenspectrum.results.claims.verdict import missing, settle, verdict

X = np.random.default_rng(1).normal(0.5, 1, 12)


def test_a_mean_is_tested_as_scipy_does():
    found, test = above(X, 0.2), stats.ttest_1samp(X, 0.2)
    assert found.p_for == pytest.approx(test.pvalue)
    assert found.p_against == 1.0
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert below(X, 0.2).p_against == found.p_for


def test_equivalence_is_two_one_sided_tests():
    p, _, _ = ttost_paired(X, np.zeros(12), -1, 1)
    assert within(list(X), 1.0).p_for == pytest.approx(p)
    assert within(list(X + 5), 1.0).p_against == pytest.approx(stats.ttest_1samp(X + 5, 1).pvalue)
    assert within(list(X - 5), 1.0).p_against == pytest.approx(stats.ttest_1samp(X - 5, -1).pvalue)
    assert differs(list(X), 1.0).p_against == pytest.approx(p)


def test_interval_and_p_of_a_mean_agree():
    """It holds exactly where the interval lies on the claimed side."""
    for threshold in np.linspace(-1, 2, 31):
        found = above(X, float(threshold))
        assert (found.p_for <= 0.05) == (found.low >= threshold)


@pytest.mark.parametrize("values", [[], [0.3], [0.3, 0.3, 0.3]])
def test_without_spread_nothing_is_known(values):
    for test in (above, below, lambda v: within(v, 1.0), lambda v: differs(v, 1.0)):
        found = test(values)
        assert (found.p_for, found.p_against) == (None, None)
        assert found.note


def test_a_count_is_tested_exactly():
    found = counted(8, 8, 0.5)
    assert found.p_for == pytest.approx(2 * 0.5**8)
    assert (found.low, found.high) == pytest.approx((0.025 ** (1 / 8), 1.0))
    assert found.note == "8 of 8 would show it"
    assert counted(3, 3, 0.5).note == "no count of 3 seeds could show it"
    assert counted(4, 8, 0.5).p_for == counted(4, 8, 0.5).p_against == 1.0
    assert (none_of(0, 8).p_for, none_of(1, 8).p_against) == (0.0, 0.0)


def test_a_stated_interval_and_a_stated_mean_give_the_p_value_of_the_values():
    test = stats.ttest_1samp(X, 0.2)
    low, high = test.confidence_interval(0.95)
    assert stated(float(X.mean()), low, high, 12, "seeds", 0.2).p_for == pytest.approx(test.pvalue)
    found = mean_of(float(X.mean()), float(X.std(ddof=1)), 12, "seeds", 0.2)
    assert found.p_for == pytest.approx(test.pvalue)
    assert (found.low + 0.2, found.high + 0.2) == pytest.approx((low, high))
    assert stated(-1.0, -1.5, -0.5, 10, "responses").p_against < 0.002
    for unknown in (
        stated(1.0, None, None, 10, "seeds"),
        stated(1.0, 0.5, 1.5, 1, "seeds"),
        mean_of(1.0, None, 3, "seeds"),
    ):
        assert (unknown.p_for, unknown.p_against) == (None, None)


@pytest.mark.parametrize(("low", "high"), [(-0.1, 1.2), (0.1, 1.2), (0.9, 5.0), (-3.0, 1.1)])
def test_a_stated_p_value_follows_its_interval_however_skewed_it_is(low, high):
    """A bootstrap's interval may be longer on one side: what counts is whether it leaves the threshold out."""
    assert (stated(1.0, low, high, 30, "responses").p_for <= 0.05) == (low > 0)
    assert (stated(-1.0, -high, -low, 30, "responses").p_against <= 0.05) == (low > 0)
    assert stated(1.0, 1.0, 2.0, 30, "responses").p_for is None


def test_of_no_part_and_of_nan_nothing_is_known():
    assert every({}) == some({}) == Finding(note="there is no row to decide it from")
    sure, broken = above(X + 9, 0.0), Finding(1.0, p_for=np.nan, p_against=np.nan)
    for parts in ({"a": sure, "b": broken}, {"b": broken, "a": sure}):
        assert every(parts).p_for is None


def test_welch_is_scipys():
    a, b = X, X[:9] * 2 + 3
    found = welch(*((float(v.mean()), float(v.std(ddof=1)), len(v)) for v in (a, b)), "responses")
    assert found.p_against == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(stats.ttest_ind(a, b, equal_var=False).confidence_interval()))


def test_all_parts_have_to_pass_and_one_is_enough_to_fail():
    good, bad, open_ = (Finding(1.0, p_for=p, p_against=q) for p, q in ((0.01, 1.0), (1.0, 0.001), (0.4, 1.0)))
    both = every({"a": good, "b": replace_p(good, 0.03)})
    assert (both.p_for, both.part) == (0.03, "b")
    broken = every({"a": good, "b": bad, "c": open_})
    assert broken.p_against == pytest.approx(0.003)
    assert (broken.p_for, broken.part) == (1.0, "b")
    assert every({"a": good, "b": Finding(note="none")}).p_for is None
    assert some({"a": good, "b": bad}).p_for == pytest.approx(0.02)


def replace_p(finding: Finding, p: float) -> Finding:
    return Finding(finding.value, p_for=p, p_against=finding.p_against)


def claim(name: str, family: str, **needs) -> Claim:
    return Claim(name, "ANCHOR", "fig 1", "It is so.", "a number", "above 0", family, **needs)


def test_holm_is_within_a_family_and_over_decided_claims():
    claims = [claim("A1", "a"), claim("A2", "a"), claim("B1", "b"), claim("A3", "a", methods=("odd",))]
    findings = {name: Finding(1.0, p_for=p, p_against=1.0) for name, p in (("A1", 0.03), ("A2", 0.2), ("B1", 0.03))}
    rows = {row["id"]: row for row in settle(claims, findings, {"A3": "lacks method odd"}, 0.05, 0.8)}
    assert [rows[name]["p_for_holm"] for name in ("A1", "A2", "B1", "A3")] == pytest.approx([0.06, 0.2, 0.03, None])
    assert [rows[name]["verdict"] for name in ("A1", "A2", "B1", "A3")] == [
        "undecided",
        "undecided",
        "holds",
        "not run",
    ]
    assert rows["A3"]["note"] == "lacks method odd"


def test_an_undecided_claim_says_what_it_could_have_seen():
    """The smallest effect, given the spread: a t-test of that effect has the power that was asked for."""
    values = [float(v) for v in X - X.mean()]
    (row,) = settle([claim("A1", "a")], {"A1": above(values)}, {}, 0.05, 0.8)
    assert row["verdict"] == "undecided"
    rng = np.random.default_rng(0)
    drawn = rng.normal(row["detectable"], np.std(values, ddof=1), (4000, 12))
    assert (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.02)


def test_two_p_values_make_three_verdicts():
    pairs = ((0.049, 1), (1, 0.049), (0.06, 1), (None, None), (None, 0.01), (0.01, 0.01))
    assert [verdict(p, q, 0.05) for p, q in pairs] == [
        "holds", "fails", "undecided", "undecided", "fails", "fails",
    ]  # fmt: skip


def test_an_interval_that_ends_at_the_threshold_decides_nothing():
    """Whatever rounding makes of its p-value; a hair beyond, it decides."""
    for n, low, high in ((2, 0.0, 50.0), (64, 0.0, 0.3), (7, 0.0, 0.7), (24, 0.0, 1.1), (3, 0.0, 0.1)):
        for value in (high / 2, high / 3):
            found = stated(value, low, high, n, "problems")
            assert found.p_for == pytest.approx(0.05)
            assert verdict(found.p_for, found.p_against, 0.05) == "undecided"
            assert verdict(*_p(stated(value + 1e-4, low + 1e-4, high, n, "problems")), 0.05) == "holds"
            assert verdict(*_p(stated(-value, -high, low, n, "problems")), 0.05) == "undecided"


def _p(finding: Finding) -> tuple[float | None, float | None]:
    return finding.p_for, finding.p_against


@pytest.mark.parametrize(("low", "high"), [(-0.1, 2.0), (0.1, 0.6), (0.45, 3.0), (-3.0, 0.55)])
def test_a_skewed_interval_decides_where_it_leaves_the_threshold_out(low, high):
    found = stated(0.5, low, high, 40, "responses")
    assert (found.p_for < 0.05) == (low > 0)
    assert opposite(stated(-0.5, -high, -low, 40, "responses")).p_for == found.p_for


def test_an_end_on_the_value_itself_is_no_certainty():
    for threshold in (0.9, -9.0):
        found = stated(1.0, 1.0, 2.0, 5, "problems", threshold)
        assert (found.p_for, found.note) == (None, "its interval does not hold its value")


def test_an_interval_of_no_width_is_none():
    found = stated(-0.25, -0.25, -0.25, 8, "responses")
    assert (found.low, found.high, found.p_for, found.p_against) == (None, None, None, None)
    assert found.note == "no spread over responses"
    assert stated(0.5, None, None, 8, "responses").note == "its result gives no interval"


def test_what_is_missing_is_named():
    wants = claim("A1", "a", methods=("full", "odd"), results=("scatter",))
    assert missing(wants, ("full",), ()) == ["method odd", "results/scatter.csv"]
    assert missing(wants, ("full", "odd"), ("scatter",)) == []
