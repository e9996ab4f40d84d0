"""One update against float64 loops over single, unpadded sequences."""

from dataclasses import replace

import pytest
import torch
from kit.responses import distinct

from tokenspectrum.errors import UserError
from tokenspectrum.policy.load import load_policy
from tokenspectrum.training.backends.local.update import Terms, accumulate_gradient, gradient_sums, take_step
from tokenspectrum.training.dapo import Clip
from tokenspectrum.training.record import MiniBatch

CLIP = Clip(low=0.2, high=0.28, dual=3.0)
LENGTHS = [(5, 7), (2, 1), (9, 12), (3, 4), (5, 6)]


@pytest.fixture(scope="module")
def policy(policy_dir):
    model, _ = load_policy(policy_dir)
    return model


def sequence_logprobs(model, response) -> torch.Tensor:
    """Log-probabilities of one response by a plain forward pass without padding, in the model's dtype."""
    ids = torch.tensor([response.prompt_token_ids + response.token_ids])
    start = len(response.prompt_token_ids)
    logprobs = model(input_ids=ids).logits[0].log_softmax(-1)
    return torch.stack([logprobs[start + t - 1, token] for t, token in enumerate(response.token_ids)])


def make_batch(model, denominator: str = "selected") -> MiniBatch:
    """Ratios spread over both clips and the dual clip, weights with zeros, one response of zero advantage."""
    generator = torch.Generator().manual_seed(3)
    responses = [
        replace(
            r, token_ids=tuple(i % 43 for i in r.token_ids), prompt_token_ids=tuple(i % 43 for i in r.prompt_token_ids)
        )
        for r in distinct(LENGTHS)
    ]
    with torch.no_grad():
        now_N = torch.cat([sequence_logprobs(model, response) for response in responses])
    noise_N = torch.empty(len(now_N)).uniform_(-0.5, 0.5, generator=generator)
    noise_N[::7] = -1.5
    advantage_R = torch.tensor([1.1, -0.7, -1.3, 0.0, 0.4])
    weight_N = torch.rand(len(now_N), generator=generator)
    weight_N[::4] = 0
    return MiniBatch(
        responses=responses,
        old_logprob_N=now_N + noise_N,
        advantage_N=advantage_R.repeat_interleave(torch.tensor([t for _, t in LENGTHS])),
        weight_N=weight_N,
        denominator=denominator,
    )


def brute_force(model, batch: MiniBatch) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradient in float64, token by token."""
    model = type(model)(model.config).double()
    model.load_state_dict({k: v.double() for k, v in POLICY_STATE.items()})
    loss, i = torch.zeros(()), 0
    for response in batch.responses:
        for logprob in sequence_logprobs(model, response):
            a, w = float(batch.advantage_N[i]), float(batch.weight_N[i])
            ratio = (logprob - float(batch.old_logprob_N[i])).exp()
            term = torch.maximum(-a * ratio, -a * ratio.clamp(0.8, 1.28))
            loss = loss + w * (torch.minimum(term, torch.tensor(-3.0 * a)) if a < 0 else term)
            i += 1
    total = float(batch.weight_N.double().sum()) if batch.denominator == "selected" else i
    (loss / total).backward()
    return float(loss.detach()) / total, {name: p.grad for name, p in model.named_parameters()}


POLICY_STATE: dict[str, torch.Tensor] = {}


@pytest.fixture(autouse=True)
def _state(policy):
    if not POLICY_STATE:
        POLICY_STATE.update({k: v.clone() for k, v in policy.state_dict().items()})
    policy.load_state_dict(POLICY_STATE)


@pytest.mark.parametrize("denominator", ["selected", "all"])
@pytest.mark.parametrize("micro_batch", [1, 2, 5])
def test_loss_and_gradient_are_the_brute_force_ones_whatever_the_micro_batch(policy, denominator, micro_batch) -> None:
    batch = make_batch(policy, denominator)
    loss, gradient = brute_force(policy, batch)
    terms = accumulate_gradient(policy, batch, CLIP, micro_batch)
    assert terms.loss == pytest.approx(loss, rel=1e-5)
    clipped_N = (terms.ratio_N < 0.8) | (terms.ratio_N > 1.28)
    assert 5 < clipped_N.sum() < len(clipped_N) - 5
    assert (terms.loss_N[batch.advantage_N < 0] == -batch.advantage_N[batch.advantage_N < 0] * 3).any()
    scale = max(float(g.abs().max()) for g in gradient.values())
    for name, parameter in policy.named_parameters():
        torch.testing.assert_close(parameter.grad.double(), gradient[name], rtol=1e-4, atol=1e-5 * scale)


def test_memory_that_is_used_again_holds_nothing_of_before(policy) -> None:
    batch, sums = make_batch(policy), gradient_sums(policy, 2)
    found = []
    for memory in (None, sums, sums):
        accumulate_gradient(policy, batch, CLIP, 2, sums=memory)
        found.append([parameter.grad.clone() for parameter in policy.parameters()])
        assert memory is None or all(p.grad is part for p, part in zip(policy.parameters(), memory, strict=True))
        policy.zero_grad()
    for want, once, twice in zip(*found, strict=True):
        assert want.equal(once)
        assert want.equal(twice)
    accumulate_gradient(policy, replace(batch, advantage_N=0 * batch.advantage_N), CLIP, 2, sums=sums)
    assert not any(parameter.grad.any() for parameter in policy.parameters())


def test_denominators_differ(policy) -> None:
    batch = make_batch(policy, "selected")
    selected = accumulate_gradient(policy, batch, CLIP, 8).loss
    everything = accumulate_gradient(policy, replace(batch, denominator="all"), CLIP, 8).loss
    assert selected / everything == pytest.approx(len(batch.weight_N) / float(batch.weight_N.sum()))


def test_without_weight_there_is_no_step_but_ratios_are_there(policy) -> None:
    batch = make_batch(policy)
    batch = replace(batch, weight_N=torch.zeros_like(batch.weight_N))
    terms = accumulate_gradient(policy, batch, CLIP, 8)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.1, weight_decay=0.1)
    assert take_step(policy, optimizer, terms, 1.0) is None
    assert terms.loss == 0
    assert len(terms.ratio_N.unique()) > 20
    assert all(torch.equal(value, POLICY_STATE[name]) for name, value in policy.state_dict().items())


def test_a_step_without_advantage_still_moves_by_its_momentum(policy) -> None:
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3, weight_decay=0.0)
    batch = make_batch(policy)
    take_step(policy, optimizer, accumulate_gradient(policy, batch, CLIP, 8), 1.0)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    flat = replace(batch, advantage_N=torch.zeros_like(batch.advantage_N))
    assert take_step(policy, optimizer, accumulate_gradient(policy, flat, CLIP, 8), 1.0) == 0
    assert any(not torch.equal(value, before[name]) for name, value in policy.state_dict().items())


def test_gradient_clipping_scales_to_the_norm(policy) -> None:
    terms = accumulate_gradient(policy, make_batch(policy), CLIP, 8)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.0)
    norm = take_step(policy, optimizer, terms, 1e-3)
    after = torch.cat([p.grad.flatten() for p in policy.parameters()]).norm()
    assert norm > 1e-3
    assert float(after) == pytest.approx(1e-3, rel=1e-3)


def test_no_step_is_taken_on_a_nan(policy) -> None:
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.1)
    terms = accumulate_gradient(policy, make_batch(policy), CLIP, 8)
    broken = Terms(terms.total, float("nan"), terms.ratio_N, terms.loss_N * float("nan"))
    with pytest.raises(UserError, match="loss is nan"):
        take_step(policy, optimizer, broken, 1.0)
    next(policy.parameters()).grad[0] = float("inf")
    with pytest.raises(UserError, match="gradient's norm is"):
        take_step(policy, optimizer, terms, 1.0)
    assert all(torch.equal(value, POLICY_STATE[name]) for name, value in policy.state_dict().items())
