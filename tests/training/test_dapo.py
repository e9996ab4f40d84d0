"""DAPO's arithmetic against float64 loops over plain Python numbers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.advantage import group_advantages
from tokenspectrum.training.dapo import (
    Clip,
    clipped_loss,
    importance_ratio,
    surrogate,
    token_denominator,
    weighted_loss,
)

CLIP = Clip(low=0.2, high=0.28, dual=10.0)
rewards = st.sampled_from([-2.0, -1.0, 1.0, -1.5, 0.1])
groups = st.lists(st.lists(rewards, min_size=2, max_size=8), min_size=1, max_size=5)
numbers = st.floats(-4, 4, allow_nan=False)
tokens = st.lists(
    st.tuples(st.floats(-9, 0), st.floats(-9, 0), numbers, st.sampled_from([0.0, 0.25, 1.0])), min_size=1, max_size=30
)


def loop_advantages(group):
    if len(set(group)) == 1:
        return [0.0] * len(group)
    mean = math.fsum(group) / len(group)
    std = math.sqrt(math.fsum((x - mean) ** 2 for x in group) / (len(group) - 1))
    return [(x - mean) / (std + 1e-6) for x in group]


def loop_loss(new, old, advantage, clip=CLIP):
    ratio = math.exp(new - old)
    objective = min(ratio * advantage, min(max(ratio, 1 - clip.low), 1 + clip.high) * advantage)
    return -(max(objective, clip.dual * advantage) if advantage < 0 else objective)


def columns(rows):
    return torch.tensor(rows, dtype=torch.float64).unbind(1)


@settings(max_examples=100, deadline=None)
@given(groups, st.randoms(use_true_random=False))
def test_advantages_against_a_loop_whatever_the_order(values, shuffler):
    flat = [(x, g, a) for g, group in enumerate(values) for x, a in zip(group, loop_advantages(group), strict=True)]
    shuffler.shuffle(flat)
    reward_R = torch.tensor([x for x, _, _ in flat], dtype=torch.float64)
    found = group_advantages(reward_R, torch.tensor([g for _, g, _ in flat]))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor([a for _, _, a in flat]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reward", [1.0, 0.1, -1.7])
def test_equal_rewards_have_no_advantage_at_all(reward, dtype):
    """0.1 has no exact mean: rounding must not turn into an advantage."""
    assert (
        group_advantages(torch.full((7,), reward, dtype=dtype), torch.zeros(7, dtype=torch.int64)).tolist() == [0.0] * 7
    )


def test_std_is_unbiased():
    found = group_advantages(torch.tensor([1.0, -1.0]), torch.tensor([0, 0]))
    assert found.tolist() == pytest.approx([1 / (math.sqrt(2) + 1e-6), -1 / (math.sqrt(2) + 1e-6)], rel=1e-7)


@pytest.mark.parametrize(
    ("group", "message"),
    [([0, 1, 1], "group 0 of the batch has 1 resp"), ([0, 0, 2, 2], "group 1 of the batch has 0 resp")],
)
def test_small_and_empty_groups_are_refused(group, message):
    with pytest.raises(UserError, match=message):
        group_advantages(torch.arange(len(group)).double(), torch.tensor(group))


def test_no_responses_at_all_are_refused():
    with pytest.raises(UserError, match="0 responses"):
        group_advantages(torch.zeros(0), torch.zeros(0, dtype=torch.int64))


def test_a_nan_reward_is_named():
    with pytest.raises(UserError, match="reward of response 1 is nan"):
        group_advantages(torch.tensor([1.0, math.nan]), torch.tensor([0, 0]))


@settings(max_examples=200, deadline=None)
@given(tokens)
def test_clipped_loss_against_a_loop(rows):
    new_N, old_N, advantage_N, _ = columns(rows)
    found = clipped_loss(new_N, old_N, advantage_N, CLIP)
    want = [loop_loss(new, old, advantage) for new, old, advantage, _ in rows]
    torch.testing.assert_close(found, torch.tensor(want, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(tokens)
def test_float32_loss_stays_float32_and_close(rows):
    new_N, old_N, advantage_N, _ = (c.float() for c in columns(rows))
    found = clipped_loss(new_N, old_N, advantage_N, CLIP)
    assert found.dtype == torch.float32
    want = clipped_loss(new_N.double(), old_N.double(), advantage_N.double(), CLIP)
    torch.testing.assert_close(found.double(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("clip", "ratio", "advantage"),
    [
        (Clip(0.1, 0.28, 10.0), 0.85, -1.0),
        (Clip(0.2, 0.1, 10.0), 1.2, 1.0),
        (Clip(0.2, 0.28, 3.0), 5.0, -1.0),
    ],
    ids=["low", "high", "dual"],
)
def test_each_clip_value_changes_the_loss_where_it_binds(clip, ratio, advantage):
    new_N, old_N = torch.tensor([math.log(ratio)], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    advantage_N = torch.tensor([advantage], dtype=torch.float64)
    usual = float(clipped_loss(new_N, old_N, advantage_N, CLIP))
    turned = float(clipped_loss(new_N, old_N, advantage_N, clip))
    assert turned == pytest.approx(loop_loss(math.log(ratio), 0.0, advantage, clip), rel=1e-12)
    assert turned != pytest.approx(usual, rel=1e-3)


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"),
    [
        (1.0, 1.0, -1.0),
        (1.27, 1.0, -1.27),
        (1.29, 1.0, 0.0),
        (0.5, 1.0, -0.5),
        (0.81, -1.0, 0.81),
        (0.79, -1.0, 0.0),
        (9.9, -1.0, 9.9),
        (10.1, -1.0, 0.0),
    ],
)
def test_gradient_vanishes_exactly_where_the_clip_binds(ratio, advantage, slope):
    new_N = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    zero_N = torch.zeros(1, dtype=torch.float64)
    clipped_loss(new_N, zero_N, torch.tensor([advantage], dtype=torch.float64), CLIP).sum().backward()
    assert float(new_N.grad) == pytest.approx(slope, rel=1e-12)


@pytest.mark.parametrize("gap", [-500.0, 500.0])
@pytest.mark.parametrize("advantage", [-1.0, 1.0])
def test_absurd_ratios_give_finite_loss_and_gradient(gap, advantage):
    new_N = torch.tensor([gap], requires_grad=True)
    loss_N = clipped_loss(new_N, torch.zeros(1), torch.tensor([advantage]), CLIP)
    loss_N.sum().backward()
    assert bool(loss_N.isfinite().all())
    assert bool(new_N.grad.isfinite().all())
    assert importance_ratio(torch.tensor([0.3]), torch.tensor([0.3])).tolist() == [1.0]


@settings(max_examples=100, deadline=None)
@given(tokens, st.sampled_from(["selected", "all"]), st.integers(1, 7))
def test_minibatch_loss_against_a_loop_whatever_the_micro_batch(rows, denominator, micro):
    new_N, old_N, advantage_N, weight_N = columns(rows)
    total = token_denominator(weight_N, denominator)
    assert total == (math.fsum(w for *_, w in rows) if denominator == "selected" else len(rows))
    if total == 0:
        with pytest.raises(ValueError, match="skip its step"):
            weighted_loss(new_N, weight_N, total)
        return
    want = math.fsum(w * loop_loss(new, old, advantage) for new, old, advantage, w in rows) / total
    loss_N = clipped_loss(new_N, old_N, advantage_N, CLIP)
    found = sum(
        float(weighted_loss(loss, weight, total))
        for loss, weight in zip(loss_N.split(micro), weight_N.split(micro), strict=True)
    )
    assert found == pytest.approx(want, rel=1e-9, abs=1e-9)
    # Multiplying the advantage by the weight is the same loss.
    multiplied = float(clipped_loss(new_N, old_N, advantage_N * weight_N, CLIP).sum()) / total
    assert multiplied == pytest.approx(want, rel=1e-9, abs=1e-9)


def test_denominators_differ_and_an_unknown_one_is_refused():
    weight_N = torch.tensor([0.5, 0.0, 1.0])
    assert (token_denominator(weight_N, "selected"), token_denominator(weight_N, "all")) == (1.5, 3.0)
    with pytest.raises(ValueError, match="expected selected or all"):
        token_denominator(weight_N, "some")


@settings(max_examples=100, deadline=None)
@given(tokens, st.sampled_from(["selected", "all"]))
def test_surrogate_is_the_loss_at_ratio_one(rows, denominator):
    _, old_N, advantage_N, weight_N = (c.float() for c in columns(rows))
    total = token_denominator(weight_N, denominator)
    found = surrogate(weight_N, advantage_N, total)
    if total == 0:
        assert found == 0.0
        return
    want = -math.fsum(w * a for w, a in zip(weight_N.tolist(), advantage_N.tolist(), strict=True)) / total
    assert found == pytest.approx(want, rel=1e-9, abs=1e-12)
    loss = weighted_loss(clipped_loss(old_N, old_N, advantage_N, CLIP).double(), weight_N.double(), total)
    assert found == pytest.approx(float(loss), rel=1e-6, abs=1e-9)


def test_groups_without_advantage_pull_nothing_but_count_in_the_denominator():
    advantage_R = group_advantages(torch.tensor([1.0, 1.0, 1.0, -1.0]), torch.tensor([0, 0, 1, 1]))
    new_N = torch.zeros(4, requires_grad=True)
    weight_N = torch.ones(4)
    weighted_loss(clipped_loss(new_N, torch.zeros(4), advantage_R, CLIP), weight_N, 4.0).backward()
    assert new_N.grad[:2].tolist() == [0.0, 0.0]
    assert (new_N.grad[2:] * 4).tolist() == pytest.approx([-math.sqrt(0.5), math.sqrt(0.5)], rel=1e-5)
