"""Predictive entropy and log-probability against the whole log-softmax in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenspectrum.entropy import predictive, predictive_entropy


def make(tokens, dim, vocabulary, dtype=torch.float32, sharpness=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, dim, generator=generator) * sharpness
    weight = torch.randn(vocabulary, dim, generator=generator) * dim**-0.5
    return hidden.to(dtype), weight.to(dtype), torch.randint(0, vocabulary, (tokens,), generator=generator)


def oracle(hidden, weight, targets, temperature=1.0, bias=None):
    logits = hidden.double() @ weight.double().T
    logits = (logits if bias is None else logits + bias.double()) / temperature
    logp = logits.log_softmax(-1)
    return logp[torch.arange(len(targets)), targets], torch.special.entr(logp.exp()).sum(-1)


def check(result, expected, vocabulary, tolerance):
    logprob, entropy = expected
    scale = 1 + logprob.abs() / 10  # a log-probability of -300 is a large float32 number
    assert ((result.logprob.double() - logprob).abs() / scale).max() <= tolerance
    assert (result.entropy.double() - entropy).abs().max() <= tolerance
    assert (result.logprob <= 0).all()
    assert (result.entropy >= 0).all()
    assert (result.entropy.double() <= math.log(vocabulary)).all()


@pytest.mark.parametrize("backend", ["reference", "torch", "triton"])
@pytest.mark.parametrize("vocabulary", [1, 2, 127, 128, 129, 1003, 4099])
def test_any_vocabulary(backend, vocabulary):
    hidden, weight, targets = make(37, 48, vocabulary)
    targets[0], targets[-1] = 0, vocabulary - 1
    result = predictive_entropy(hidden, weight, targets, backend=backend)
    assert result.backend == backend
    check(result, oracle(hidden, weight, targets), vocabulary, 1e-11 if backend == "reference" else 2e-5)


@pytest.mark.parametrize("backend", ["torch", "triton"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("sharpness", [0.0, 1.0, 30.0, 1000.0])
def test_dtypes_and_sharpness(backend, dtype, sharpness):
    hidden, weight, targets = make(20, 64, 777, dtype, sharpness)
    result = predictive_entropy(hidden, weight, targets, backend=backend)
    check(result, oracle(hidden, weight, targets), 777, 2e-5 if dtype == torch.float32 else 1e-3)
    assert result.entropy.dtype == torch.float32


@pytest.mark.parametrize("backend", ["reference", "torch", "triton"])
def test_temperature_and_bias(backend):
    hidden, weight, targets = make(9, 32, 301)
    bias = torch.randn(602)[::2]
    plain = predictive_entropy(hidden, weight, targets, backend=backend)
    for temperature, b in ((0.7, None), (1.0, bias), (2.0, bias)):
        result = predictive_entropy(hidden, weight, targets, temperature, bias=b, backend=backend)
        check(result, oracle(hidden, weight, targets, temperature, b), 301, 2e-5)
        assert (result.entropy - plain.entropy).abs().min() > 1e-4


def test_float64_stays_float64():
    hidden, weight, targets = make(9, 32, 301, torch.float64)
    result = predictive_entropy(hidden, weight, targets)
    assert result.entropy.dtype == torch.float64
    check(result, oracle(hidden, weight, targets), 301, 1e-12)


def test_certain_and_uniform_distributions():
    weight = torch.tensor([[1.0], [0.0], [0.0]])
    certain = predictive_entropy(torch.tensor([[200.0]]), weight, torch.tensor([0]))
    assert float(certain.entropy) == float(certain.logprob) == 0.0
    impossible = predictive_entropy(torch.tensor([[200.0]]), weight, torch.tensor([2]))
    assert float(impossible.logprob) == -200.0
    uniform = predictive_entropy(torch.zeros(1, 8), torch.randn(500, 8), torch.tensor([3]))
    assert float(uniform.entropy) == pytest.approx(math.log(500), abs=1e-6)


def test_blocks_join_seamlessly(monkeypatch):
    hidden, weight, targets = make(50, 32, 1000)
    whole = predictive_entropy(hidden, weight, targets)
    monkeypatch.setattr(predictive, "BLOCK_CPU", 33)
    monkeypatch.setattr(predictive, "TILE_CPU", 33 * 7)
    small = predictive_entropy(hidden, weight, targets)
    torch.testing.assert_close(whole.entropy, small.entropy, atol=5e-6, rtol=0)
    torch.testing.assert_close(whole.logprob, small.logprob, atol=5e-6, rtol=0)


def test_logits_that_rise_from_block_to_block(monkeypatch):
    monkeypatch.setattr(predictive, "BLOCK_CPU", 10)
    weight = torch.arange(95.0)[:, None] * 0.3
    hidden, targets = torch.tensor([[1.0], [-1.0]]), torch.tensor([94, 94])
    check(predictive_entropy(hidden, weight, targets), oracle(hidden, weight, targets), 95, 2e-5)


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.integers(0, 40),
    dim=st.integers(1, 40),
    vocabulary=st.integers(1, 5000),
    sharpness=st.sampled_from([0.1, 1.0, 10.0, 100.0]),
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
)
def test_any_shape(tokens, dim, vocabulary, sharpness, temperature):
    hidden, weight, targets = make(tokens, dim, vocabulary, sharpness=sharpness)
    result = predictive_entropy(hidden, weight, targets, temperature)
    assert result.logprob.shape == result.entropy.shape == (tokens,)
    if tokens:
        check(result, oracle(hidden, weight, targets, temperature), vocabulary, 2e-5)
