"""Soft rules, their schedule and tau, against the paper's formulas written as loops over Python floats."""

import logging
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.registry import make_rule
from tokenspectrum.weighting.rules._soft import normalised, solve_tau

ENDPOINTS = {
    "low2high": ((1.0, 0.0), (0.0, 1.0)),
    "high2low": ((0.0, 1.0), (1.0, 0.0)),
    "static-anchor": ((1.0, 1.0), (0.0, 0.0)),
    "static-explorer": ((0.0, 0.0), (1.0, 1.0)),
}
entropies = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20)


def soft_rule(kind="low2high", tau=0.7, s_warm=10, eps=None):
    low, high = ENDPOINTS[kind]
    return make_rule(
        kind=kind,
        denominator="all",
        score="entropy_norm",
        layer=1,
        alignment="decision",
        tau=tau,
        w_low=low,
        w_high=high,
        s_warm=None if kind.startswith("static") else s_warm,
        eps_mode="exact" if eps is None else "literal",
        eps=eps,
    )


def one_response(scores, step=1):
    zero = torch.zeros(1, dtype=torch.int64)
    score_N = torch.tensor(scores, dtype=torch.float32)
    return TokenBatch(torch.tensor([len(scores)]), 0, step, ["p"], zero, zero, {"entropy_norm": score_N})


def paper_abar(scores, tau, eps=0.0):
    """Softmax over all tokens, then min-max with eps in the denominator."""
    largest = max(scores)
    e = [math.exp((h - largest) / tau) for h in scores]
    a = [x / math.fsum(e) for x in e]
    return [(x - min(a)) / (max(a) - min(a) + eps) for x in a]


@settings(max_examples=150, deadline=None)
@given(entropies, st.sampled_from([0.05, 0.3, 1.0, 10.0]), st.sampled_from([None, 1e-6, 1e-2]))
def test_abar_against_the_papers_form(scores, tau, eps):
    assume(max(scores) - min(scores) > 1e-4)
    found = normalised(torch.tensor(scores, dtype=torch.float64), tau, "exact" if eps is None else "literal", eps)
    assert found.tolist() == pytest.approx(paper_abar(scores, tau, eps or 0.0), rel=1e-8, abs=1e-10)


@settings(max_examples=100, deadline=None)
@given(entropies, st.sampled_from([0.05, 1.0, 10.0]))
def test_exact_abar_spans_zero_to_one_in_the_order_of_entropy(scores, tau):
    score_N = torch.tensor(scores, dtype=torch.float64)
    abar_N = normalised(score_N, tau, "exact")
    if max(scores) - min(scores) < 1e-12:
        assert abar_N.tolist() == [0.5] * len(scores)
        return
    assert float(abar_N.min()) == 0.0
    assert float(abar_N.max()) == pytest.approx(1.0, abs=1e-12)
    assert bool((abar_N[score_N.argsort()].diff() >= 0).all())


@settings(max_examples=50, deadline=None)
@given(entropies, st.floats(1e-11, 1e-3))
def test_nearly_equal_entropies_keep_their_digits(scores, scale):
    """tau = 10, tiny range: abar tends to (H - Hmin) / (Hmax - Hmin), where naive exponentials cancel."""
    assume(max(scores) - min(scores) > 0.1)
    score_N = torch.tensor(scores, dtype=torch.float64) * scale
    linear_N = (score_N - score_N.min()) / (score_N.max() - score_N.min())
    assert float((normalised(score_N, 10.0, "exact") - linear_N).abs().max()) < 1e-4


@pytest.mark.parametrize("gap", [0.0, 5e-13])
@pytest.mark.parametrize("mode", [("exact", None), ("literal", 1e-6)])
def test_flat_entropies_give_one_half(gap, mode):
    assert normalised(torch.tensor([0.3, 0.3 + gap], dtype=torch.float64), 1.0, *mode).tolist() == [0.5, 0.5]
    assert normalised(torch.tensor([0.3, 0.3 + 1e-11], dtype=torch.float64), 1.0, "exact").tolist() == [0.0, 1.0]


def test_flat_batches_are_logged(caplog):
    with caplog.at_level(logging.WARNING):
        weights = apply(soft_rule("static-explorer"), one_response([0.3, 0.3, 0.3]))
    assert weights.weight_N.tolist() == [0.5] * 3
    assert weights.extra["flat"] == 1.0
    assert "all scores are 0.3" in caplog.text
    assert apply(soft_rule("static-explorer"), one_response([0.3, 0.4])).extra["flat"] == 0.0


@settings(max_examples=100, deadline=None)
@given(entropies, st.sampled_from(sorted(ENDPOINTS)), st.integers(0, 30), st.sampled_from([1, 4, 10]))
def test_weights_against_a_loop(scores, kind, s, s_warm):
    assume(max(scores) - min(scores) > 1e-4)
    weights = apply(soft_rule(kind, s_warm=s_warm), one_response(scores, step=s + 1))
    r = min(s / s_warm, 1)
    ends = {"low2high": (1 - r, r), "high2low": (r, 1 - r), "static-anchor": (1, 0), "static-explorer": (0, 1)}
    low, high = ends[kind]
    want = [(1 - a) * low + a * high for a in paper_abar(scores, 0.7)]
    assert weights.weight_N.tolist() == pytest.approx(want, abs=1e-6)
    assert bool(weights.selected_N.all())
    assert weights.extra["mean_abar"] == pytest.approx(math.fsum(paper_abar(scores, 0.7)) / len(scores), rel=1e-6)
    assert (weights.extra["w_low"], weights.extra["w_high"]) == pytest.approx((low, high))
    square = math.fsum(w * w for w in want)
    if square > 1e-9:
        assert weights.extra["effective_sample_size"] == pytest.approx(math.fsum(want) ** 2 / square, rel=1e-5)


def test_the_first_update_and_the_base_probe_both_stand_at_the_start():
    rule, scores = soft_rule("low2high", s_warm=4), [0.1, 0.5, 0.9]
    by_step = [apply(rule, one_response(scores, step)).weight_N.tolist() for step in (0, 1, 3, 5, 9)]
    assert by_step[0] == by_step[1]
    assert by_step[1] == [1.0, pytest.approx(1 - paper_abar(scores, 0.7)[1]), 0.0]
    assert by_step[2] == pytest.approx([0.5, 0.5, 0.5])
    assert by_step[3] == by_step[4] == [0.0, pytest.approx(paper_abar(scores, 0.7)[1]), 1.0]


def test_curricula_end_where_the_static_rules_stand_and_mirror_each_other():
    scores = [0.1, 0.2, 0.6, 0.9]
    at = {
        kind: [apply(soft_rule(kind, s_warm=4), one_response(scores, step)).weight_N for step in (1, 3, 5)]
        for kind in ENDPOINTS
    }
    assert torch.equal(at["low2high"][0], at["static-anchor"][0])
    assert torch.equal(at["low2high"][2], at["static-explorer"][2])
    for forward, backward in zip(at["low2high"], reversed(at["high2low"]), strict=True):
        torch.testing.assert_close(forward, backward)


@pytest.mark.parametrize(
    "change",
    [
        {"tau": 0.1},
        {"s_warm": 3},
        {"eps_mode": "literal", "eps": 0.1},
        {"kind": "high2low", "w_low": (0.0, 1.0), "w_high": (1.0, 0.0)},
    ],
)
def test_each_knob_changes_the_weights(change):
    rule, batch = soft_rule(), one_response([0.1, 0.5, 0.9], step=3)
    assert not torch.equal(apply(rule, batch).weight_N, apply(make_rule(**(rule.record() | change)), batch).weight_N)


def test_literal_eps_caps_abar_as_the_batch_grows():
    """Evenly spread entropies, range R, tau = 1: Z is |V| (1 - e^-R) / R, so the largest abar is R / (R + eps |V|)."""
    eps, tokens = 1e-3, 8400
    for spread in (0.44, 1.0):
        score_N = torch.linspace(0, spread, tokens, dtype=torch.float64)
        assert float(normalised(score_N, 1.0, "literal", eps).max()) == pytest.approx(
            spread / (spread + eps * tokens), rel=1e-3
        )
        assert float(normalised(score_N, 1.0, "exact").max()) == 1.0
    # The number of docs/weighting.md: eps |V| = 8.4, as with eps = 1e-6 and 8.4M tokens.
    score_N = torch.linspace(0, 0.44, tokens, dtype=torch.float64)
    assert float(normalised(score_N, 1.0, "literal", eps).max()) == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize(("mode", "eps"), [("exact", None), ("literal", 1e-5)])
def test_tau_auto_puts_mean_abar_at_one_half(mode, eps):
    score_N = torch.rand(2000, generator=torch.Generator().manual_seed(0)).sqrt()
    tau = solve_tau(score_N, mode, eps)
    assert tau == float(f"{tau:.3g}")
    assert float(normalised(score_N, tau, mode, eps).mean()) == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize(
    ("scores", "bound"), [([0.0] * 9 + [1.0], 10.0), ([0.0] + [1.0] * 9, 0.01)], ids=["too low", "too high"]
)
def test_tau_auto_falls_back_on_the_nearest_bound(scores, bound, caplog):
    with caplog.at_level(logging.WARNING):
        assert solve_tau(torch.tensor([*scores[:5], 0.5, *scores[5:]]), "exact") == bound
    assert "cannot be 0.5" in caplog.text


def test_rounding_of_tau_stays_within_its_interval():
    for seed in range(5):
        score_N = torch.rand(50, generator=torch.Generator().manual_seed(seed)) ** 0.3
        assert 0.01 <= solve_tau(score_N, "exact") <= 10.0
