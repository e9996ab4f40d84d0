"""Our loss and advantages against verl's own functions, on inputs that hypothesis makes."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage, compute_policy_loss_vanilla
from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_weights
from verl.workers.config import ActorConfig

from tokenspectrum.rollout.advantage import group_advantages
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.backends.verl.batch import scaled_advantage, update_rows
from tokenspectrum.training.correction import correction
from tokenspectrum.training.dapo import Clip, clipped_loss, token_denominator, weighted_loss
from tokenspectrum.training.record import MiniBatch

clips = st.builds(Clip, low=st.floats(0.01, 0.9), high=st.floats(0.01, 2.0), dual=st.floats(1.01, 12.0))
advantages = st.one_of(st.just(0.0), st.floats(-3, 3, width=32))
weights = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 2, width=32))
# Responses of tokens: (log-ratio, advantage, weight).  Some ratios are beyond the limit at which both cut them.
responses = st.lists(
    st.lists(st.tuples(st.one_of(st.floats(-2, 3), st.floats(-25, 25)), advantages, weights), min_size=1, max_size=7),
    min_size=1,
    max_size=5,
)


def verl_loss(new_RT, old_RT, advantage_RT, mask_RT, clip, batch_tokens=None):
    config = ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        use_dynamic_bsz=True,
        clip_ratio_low=clip.low,
        clip_ratio_high=clip.high,
        clip_ratio_c=clip.dual,
    )
    config.global_batch_info.update(dp_size=1, batch_num_tokens=batch_tokens)
    return compute_policy_loss_vanilla(old_RT, new_RT, advantage_RT, mask_RT, "token-mean", config)[0]


def padded(rows, dtype):
    """Log-probabilities old and new, advantages and weights, (R, T), padded with what would show in a result."""
    shape = (len(rows), max(map(len, rows)))
    old_RT, new_RT, advantage_RT, weight_RT = (torch.full(shape, -7.0, dtype=dtype) for _ in range(4))
    mask_RT = torch.zeros(shape, dtype=torch.bool)
    for r, row in enumerate(rows):
        for t, (gap, advantage, weight) in enumerate(row):
            old_RT[r, t], new_RT[r, t] = -1.5, -1.5 + gap
            advantage_RT[r, t], weight_RT[r, t], mask_RT[r, t] = advantage, weight, True
    return old_RT, new_RT, advantage_RT, weight_RT, mask_RT


@settings(max_examples=150, deadline=None)
@given(responses, clips)
def test_the_clipped_term_is_verls(rows, clip):
    old_RT, new_RT, advantage_RT, _, mask_RT = padded(rows, torch.float64)
    theirs_RT, ours_N = new_RT.clone().requires_grad_(), new_RT[mask_RT].requires_grad_()
    theirs = verl_loss(theirs_RT, old_RT, advantage_RT, mask_RT, clip)
    ours = clipped_loss(ours_N, old_RT[mask_RT], advantage_RT[mask_RT], clip).sum() / int(mask_RT.sum())
    theirs.backward()
    ours.backward()
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-12, abs=1e-15)
    torch.testing.assert_close(ours_N.grad, theirs_RT.grad[mask_RT], rtol=1e-12, atol=0)
    # One token at a time: nothing hides in a sum.
    for t, term in enumerate(clipped_loss(ours_N.detach(), old_RT[mask_RT], advantage_RT[mask_RT], clip).tolist()):
        alone_RT = torch.zeros_like(mask_RT)
        alone_RT[tuple(mask_RT.nonzero()[t])] = True
        assert float(verl_loss(new_RT, old_RT, advantage_RT, alone_RT, clip)) == term


@settings(max_examples=150, deadline=None)
@given(responses, clips, st.sampled_from(["selected", "all"]))
def test_the_scaled_advantage_makes_verls_token_mean_our_weighted_loss(rows, clip, denominator):
    """In float32, as both trainers compute; in micro-batches of one response, as verl adds them up."""
    old_RT, new_RT, advantage_RT, weight_RT, mask_RT = padded(rows, torch.float32)
    weight_N, advantage_N = weight_RT[mask_RT], advantage_RT[mask_RT]
    given_to = [
        Response(f"p{r}", 0, (5, 6), tuple(range(2, 2 + len(row))), (0.0,) * len(row), "length")
        for r, row in enumerate(rows)
    ]
    batch = MiniBatch(given_to, old_RT[mask_RT], advantage_N, weight_N, denominator)
    total = token_denominator(weight_N, denominator)
    if total == 0:
        assert scaled_advantage(batch) is None
        assert update_rows(batch, 1) is None
        return
    assume(total > 1e-3)
    scaled_RT = torch.full_like(advantage_RT, 3.0)
    scaled_RT[mask_RT] = scaled_advantage(batch)
    theirs_RT, ours_N = new_RT.clone().requires_grad_(), new_RT[mask_RT].requires_grad_()
    parts = [slice(r, r + 1) for r in range(len(rows))]
    tokens = len(weight_N)
    theirs = sum(verl_loss(theirs_RT[r], old_RT[r], scaled_RT[r], mask_RT[r], clip, tokens) for r in parts)
    term_N = clipped_loss(ours_N, old_RT[mask_RT], advantage_N, clip)
    ours = weighted_loss(term_N, weight_N, total)
    theirs.backward()
    ours.backward()
    size = float((weight_N * term_N.detach().abs()).sum()) / total
    assert float(theirs.detach()) == pytest.approx(float(ours.detach()), rel=1e-5, abs=1e-6 * size + 1e-30)
    torch.testing.assert_close(theirs_RT.grad[mask_RT], ours_N.grad, rtol=1e-5, atol=1e-30)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 5), st.data())
def test_group_advantages_are_verls(n, data):
    rewards = st.lists(st.sampled_from([-2.0, -1.0, 1.0, -1.25, 0.3]), min_size=n, max_size=n)
    rewards_GR = torch.tensor(data.draw(st.lists(rewards, min_size=1, max_size=5)), dtype=torch.float64)
    group_R = torch.arange(len(rewards_GR)).repeat_interleave(n)
    order = torch.tensor(data.draw(st.permutations(range(len(group_R)))))
    rewards_R, group_R = rewards_GR.flatten()[order], group_R[order]
    ours_R = group_advantages(rewards_R, group_R)
    at_end_RT = torch.stack([torch.zeros_like(rewards_R), rewards_R], dim=1)
    mask_RT = torch.ones(len(rewards_R), 2, dtype=torch.float64)
    theirs_RT, _ = compute_grpo_outcome_advantage(at_end_RT, mask_RT, np.array([f"g{g}" for g in group_R.tolist()]))
    # A group of equal rewards is exactly 0 with us; verl leaves what rounding of the mean leaves.
    np.testing.assert_allclose(ours_R.double().numpy(), theirs_RT[:, 0].numpy(), rtol=1e-6, atol=1e-9)
    assert torch.equal(theirs_RT[:, 0], theirs_RT[:, 1])


@settings(max_examples=100, deadline=None)
@given(responses, st.sampled_from([0.9, 1.0, 2.0, 5.0]))
def test_the_correction_is_verls_token_level_one(rows, threshold):
    """Both in float32.  verl masks what is padding, and cuts at the same threshold."""
    old_RT, sampled_RT, _, _, mask_RT = padded(rows, torch.float32)
    theirs_RT, said = compute_rollout_correction_weights(old_RT - sampled_RT, mask_RT, "token", threshold)
    sampled_N, lengths = sampled_RT[mask_RT], [len(row) for row in rows]
    given_to = [
        Response(f"p{r}", 0, (5, 6), (2,) * len(part), tuple(part.tolist()), "length")
        for r, part in enumerate(sampled_N.split(lengths))
    ]
    ours = correction(old_RT[mask_RT], given_to, threshold)
    torch.testing.assert_close(ours.rho_N, theirs_RT[mask_RT], rtol=1e-6, atol=0)
    assert ours.told["rollout_is_mean"] == pytest.approx(said["rollout_is_mean"], rel=1e-4)
