"""Controls of soft rules, and their floor, against loops over plain lists; every draw by the counter hash."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenspectrum.counter import stream_key, uniforms
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.registry import make_rule, rule_from_json

SOFT = {"denominator": "all", "score": "entropy_norm", "layer": 1, "alignment": "decision", "tau": 0.4}
SOFT |= {"eps_mode": "exact"}
LOW2HIGH = SOFT | {"kind": "low2high", "w_low": (1.0, 0.0), "w_high": (0.0, 1.0), "s_warm": 8}
STATIC = SOFT | {"kind": "static-explorer", "w_low": (0.0, 0.0), "w_high": (1.0, 1.0)}
DOMAINS = {"shuffled": "shuffle", "permuted-entropy": "permute"}
lengths_of = st.lists(st.integers(0, 12), min_size=1, max_size=5)


def make_batch(lengths, step=3, seed=5):
    draw = torch.Generator().manual_seed(sum(lengths) + 7)
    return TokenBatch(
        lengths_R=torch.tensor(lengths, dtype=torch.int64),
        seed=seed,
        step=step,
        prompt_ids=[f"p{r // 2}" for r in range(len(lengths))],
        samples_R=torch.arange(len(lengths)) % 2,
        minibatch_R=torch.arange(len(lengths)) % 2,
        scores={"entropy_norm": torch.rand(sum(lengths), generator=draw)},
    )


def control(kind, of=LOW2HIGH):
    return make_rule(**of | {"kind": kind, "matches": of["kind"]})


def dealt(values, batch, domain):
    """The list with each response's values in the order of its tokens' hashes."""
    out, at = [], 0
    for r, length in enumerate(batch.lengths_R.tolist()):
        key = stream_key(domain, batch.seed, batch.step, batch.prompt_ids[r], int(batch.samples_R[r]))
        u = uniforms(np.uint64(key), np.arange(length)).tolist()
        out += [values[at + t] for t in sorted(range(length), key=lambda t, u=u: u[t])]
        at += length
    return out


@settings(max_examples=60, deadline=None)
@given(lengths_of, st.sampled_from(list(DOMAINS)), st.integers(0, 12))
def test_weights_are_the_rules_dealt_within_each_response(lengths, kind, step):
    batch, rule = make_batch(lengths, step), control(kind)
    found, own = apply(rule, batch), apply(rule.of, batch)
    assert found.weight_N.tolist() == dealt(own.weight_N.tolist(), batch, DOMAINS[kind])
    # What the rule looked at is logged: of shuffled weights the true scores, of permuted scores the permuted ones.
    scores = batch.scores["entropy_norm"].tolist()
    assert found.score_N.tolist() == (scores if kind == "shuffled" else dealt(scores, batch, "permute"))
    same = ("ramp", "mean_abar", "h_min", "h_max") if sum(lengths) else ()
    assert [found.extra[name] for name in same] == pytest.approx([own.extra[name] for name in same])


@settings(max_examples=40, deadline=None)
@given(lengths_of, st.integers(0, 12), st.sampled_from([LOW2HIGH, STATIC]))
def test_equal_mean_is_the_mean_weight_of_the_step(lengths, step, of):
    batch, rule = make_batch(lengths, step), control("equal-mean", of)
    found, own = apply(rule, batch).weight_N.tolist(), apply(rule.of, batch).weight_N.tolist()
    assert len(set(found)) <= 1
    if own:
        assert found[0] == pytest.approx(sum(own) / len(own), abs=1e-6)


@pytest.mark.parametrize("kind", DOMAINS)
def test_a_deal_is_another_each_step_and_does_not_depend_on_the_batch(kind):
    batch, rule = make_batch([40, 30, 20]), control(kind)
    first = apply(rule, batch).weight_N
    assert torch.equal(first, apply(rule, batch).weight_N)
    # The same ramp at the next step would give the same weights: only the deal differs.
    static = control(kind, STATIC)
    assert not torch.equal(apply(static, batch).weight_N, apply(static, replace(batch, step=4)).weight_N)
    order = [2, 0, 1]
    parts = batch.scores["entropy_norm"].split([40, 30, 20])
    moved = TokenBatch(
        lengths_R=batch.lengths_R[order],
        seed=batch.seed,
        step=batch.step,
        prompt_ids=[batch.prompt_ids[r] for r in order],
        samples_R=batch.samples_R[order],
        minibatch_R=batch.minibatch_R[order],
        scores={"entropy_norm": torch.cat([parts[r] for r in order])},
    )
    back = apply(rule, moved).weight_N.split([20, 40, 30])
    assert torch.equal(torch.cat([back[1], back[2], back[0]]), first)


def test_the_two_deals_are_draws_of_their_own():
    batch = make_batch([60, 60])
    shuffled, permuted = (apply(control(kind), batch).weight_N for kind in DOMAINS)
    assert not torch.equal(shuffled, permuted)
    assert sorted(shuffled.tolist()) == pytest.approx(sorted(permuted.tolist()))
    own = apply(control("shuffled").of, batch).weight_N
    for one, two in ((shuffled, own), (permuted, own), (shuffled, permuted)):
        assert abs(float(torch.corrcoef(torch.stack([one, two]))[0, 1])) < 0.35


@pytest.mark.parametrize("kind", [*DOMAINS, "equal-mean"])
def test_rule_json_holds_the_rule_and_its_kind(kind):
    rule = control(kind)
    assert rule.record() == rule.of.record() | {"kind": kind, "matches": "low2high"}
    assert rule_from_json(rule.to_json()) == rule
    assert (rule.shown_at, rule.layers, rule.denominator) == ((0, 8), (1,), "all")
    open_ = rule.model_copy(update={"of": rule.of.model_copy(update={"tau": "auto"})})
    assert open_.fitted(make_batch([40, 30])).of.tau > 0


@settings(max_examples=40, deadline=None)
@given(lengths_of, st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 12), st.sampled_from([LOW2HIGH, STATIC]))
def test_a_floor_lifts_what_is_below_it(lengths, floor, step, of):
    batch = make_batch(lengths, step)
    own, found = apply(make_rule(**of), batch), apply(make_rule(**of | {"floor": floor}), batch)
    assert found.weight_N.tolist() == pytest.approx([max(w, floor) for w in own.weight_N.tolist()])
    if lengths and sum(lengths):
        below = [w < np.float32(floor) for w in own.weight_N.tolist()]
        assert found.extra["at_floor"] == pytest.approx(sum(below) / len(below), abs=1 / len(below))
    assert "at_floor" not in own.extra
