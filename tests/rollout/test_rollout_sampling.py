"""One draw against a plain loop: descending order, ties by id, top-p, inverse CDF."""

import math

import numpy as np
import pytest
import torch

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.engines.transformers.sampling import draw


def draw_by_loop(logits: list[float], u: float, temperature: float, top_p: float) -> tuple[int, float]:
    """The definition, one number at a time."""
    scaled = [x / temperature for x in logits]
    top = max(scaled)
    weights = [math.exp(x - top) for x in scaled]
    prob = [w / math.fsum(weights) for w in weights]
    order = sorted(range(len(prob)), key=lambda i: (-prob[i], i))
    nucleus, mass = [], 0.0
    for i in order:
        if mass >= top_p:
            break
        nucleus.append(i)
        mass += prob[i]
    cumulated = 0.0
    for i in nucleus:
        cumulated += prob[i]
        if cumulated > u * mass:
            return i, math.log(prob[i])
    return nucleus[-1], math.log(prob[nucleus[-1]])


@pytest.mark.parametrize("vocab", [3, 32, 33, 400])
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (1.0, 0.95), (1.0, 0.7), (0.6, 0.9), (2.0, 0.3)])
@pytest.mark.parametrize("sharpness", [0.1, 4.0])
def test_a_draw_is_the_inverse_cdf_of_the_sorted_nucleus(vocab, temperature, top_p, sharpness):
    generator = torch.Generator().manual_seed(vocab)
    logits_BV = torch.randn(40, vocab, generator=generator, dtype=torch.float64) * sharpness
    u_B = torch.rand(40, generator=generator, dtype=torch.float64)
    token_B, logprob_B = draw(logits_BV, u_B, temperature, top_p)
    for row in range(40):
        token, logprob = draw_by_loop(logits_BV[row].tolist(), u_B[row].item(), temperature, top_p)
        assert token_B[row] == token
        assert logprob_B[row].item() == pytest.approx(logprob, abs=1e-9)


@pytest.mark.parametrize("rounded_to", [None, 0.01, 0.5])
@pytest.mark.parametrize("sharpness", [0.2, 2.5, 5.0])
def test_a_large_vocabulary_is_drawn_from_as_from_its_whole_sort(sharpness, rounded_to):
    """Nuclei of some 30, 300 and 4,000 tokens; with and without equal values, also where the largest 1,024 end."""
    generator = torch.Generator().manual_seed(2)
    logits_BV = torch.randn(64, 5000, generator=generator, dtype=torch.float64) * sharpness
    if rounded_to is not None:
        logits_BV = (logits_BV / rounded_to).round() * rounded_to
    u_B = torch.rand(64, generator=generator, dtype=torch.float64)
    u_B[0], u_B[1] = 0.0, 1 - 1e-12
    token_B, _ = draw(logits_BV, u_B, 1.0, 0.95)
    for logits_V, u, token in zip(logits_BV.numpy(), u_B.tolist(), token_B.tolist(), strict=True):
        order = np.argsort(-logits_V, kind="stable")
        prob = np.exp(logits_V[order] - logits_V.max())
        cumulated = (prob / prob.sum()).cumsum()
        size = int((cumulated < 0.95).sum()) + 1
        at = int((cumulated[:size] <= u * cumulated[size - 1]).sum())
        assert token == order[min(at, size - 1)]


@pytest.mark.parametrize("top_p", [0.5, 1.0])
@pytest.mark.parametrize("vocab", [40, 200])
def test_ties_go_to_the_smaller_id(vocab, top_p):
    # Logits of a 16-bit model: many are equal, and the order among them must not be the sorter's whim.
    generator = torch.Generator().manual_seed(1)
    logits_BV = torch.randint(0, 4, (64, vocab), generator=generator).double()
    u_B = torch.rand(64, generator=generator, dtype=torch.float64)
    token_B, _ = draw(logits_BV, u_B, 1.0, top_p)
    assert token_B.tolist() == [
        draw_by_loop(row, u, 1.0, top_p)[0] for row, u in zip(logits_BV.tolist(), u_B.tolist(), strict=True)
    ]


def test_draws_follow_the_nucleus_distribution():
    logits_V = torch.tensor([2.0, 1.0, 0.0, -1.0, -6.0])
    u_B = torch.arange(20_000, dtype=torch.float64) / 20_000
    token_B, _ = draw(logits_V.expand(len(u_B), -1), u_B, 1.0, 0.9)
    prob_V = logits_V.softmax(0)
    nucleus_V = torch.where(torch.arange(5) < 3, prob_V, 0)
    assert prob_V[:2].sum() < 0.9 <= prob_V[:3].sum()
    share_V = torch.bincount(token_B, minlength=5) / len(token_B)
    torch.testing.assert_close(share_V, nucleus_V / nucleus_V.sum(), atol=1e-4, rtol=0)


def test_extremes_of_u_and_a_certain_token():
    logits_BV = torch.tensor([[0.0, 3.0, 1.0]] * 2 + [[-1e4, 1e4, 0.0]])
    token_B, logprob_B = draw(logits_BV, torch.tensor([0.0, np.nextafter(1.0, 0), 0.5], dtype=torch.float64), 1.0, 1.0)
    assert token_B.tolist() == [1, 0, 1]
    assert logprob_B[2] == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_logits_are_refused(bad):
    with pytest.raises(UserError, match="NaN or infinite"):
        draw(torch.tensor([[0.0, bad, 1.0]]), torch.zeros(1, dtype=torch.float64), 1.0, 0.9)
