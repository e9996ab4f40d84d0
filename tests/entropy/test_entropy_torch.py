"""The torch backend against the oracle: shapes, dtypes, layouts, adversarial numbers, memory."""

import math

import pytest
import torch
from entropy_cases import (
    ADVERSARIAL,
    EVERYTHING,
    adversarial_qk,
    assert_close,
    assert_in_range,
    low_precision,
    mean_rows,
    offsets,
    oracle,
    random_qk,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tokenspectrum.entropy import attention_entropy, attention_rows, chunked

TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 1e-3, torch.float16: 1e-3}


@pytest.mark.parametrize(("heads", "key_heads"), [(3, 3), (4, 1), (8, 1), (16, 2)])
@pytest.mark.parametrize("dim", [32, 64, 96, 128])
def test_ragged_batches_of_every_shape(heads, key_heads, dim):
    lengths = [1, 2, 3, 31, 64, 65, 150]
    q, k = random_qk(lengths, heads, key_heads, dim)
    start = [n // 3 for n in lengths]
    result = attention_entropy(q, k, cu_seqlens=offsets(lengths), query_start=start, backend="torch", **EVERYTHING)
    assert_close(result, oracle(q, k, lengths, start, lengths), 2e-5, support_slack=1)
    assert_in_range(result)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["random", *ADVERSARIAL])
def test_dtypes_and_adversarial_inputs(dtype, kind):
    length = 140
    q, k = random_qk([length], 8, 2, 64) if kind == "random" else adversarial_qk(kind, length, 8, 2, 64)
    q, k = q.to(dtype), k.to(dtype)
    result = attention_entropy(q, k, backend="torch")
    expected = oracle(q, k, [length], [0], [length])
    error = (result.raw.double() - expected["raw"]).abs().max()
    assert error <= TOLERANCE.get(dtype, 1e-11), f"{error:.1e}"
    assert error <= 2 * (low_precision(q, k) - expected["raw"]).abs().max() + 1e-5
    assert_in_range(result)
    assert result.raw.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("bound", [60.0, 70.0, 300.0, 3000.0])
def test_logits_around_every_limit_of_float32(bound):
    q, k = random_qk([200], 4, 2, 32)
    factor = bound / (q.norm(dim=-1).max() * k.norm(dim=-1).max() * 32**-0.5)
    for dtype in (torch.float32, torch.bfloat16):
        scaled, keys = (q * factor).to(dtype), k.to(dtype)
        result = attention_entropy(scaled, keys, backend="torch", **EVERYTHING)
        assert_close(result, oracle(scaled, keys, [200], [0], [200]), TOLERANCE[dtype], support_slack=1)


def test_long_sequence():
    length, wanted = 4100, [4036]
    q, k = random_qk([length], 4, 2, 32)
    result = attention_entropy(q, k, query_start=wanted, backend="torch", variants=("distance", "local_mass"))
    a_RT = mean_rows(q, k)[wanted[0] :]
    torch.testing.assert_close(result.raw.double(), torch.special.entr(a_RT).sum(-1), atol=2e-5, rtol=0)
    t = torch.arange(length)
    back_RT = t[wanted[0] :, None] - t
    torch.testing.assert_close(result.distance.double(), (a_RT * back_RT).sum(-1), atol=0, rtol=1e-5)
    torch.testing.assert_close(result.local_mass.double(), (a_RT * (back_RT < 32)).sum(-1), atol=2e-6, rtol=0)


def test_blocks_of_rows_join_seamlessly(monkeypatch):
    lengths = [5, 300, 41, 2]
    q, k = random_qk(lengths, 8, 2, 32)
    whole = attention_entropy(q, k, cu_seqlens=offsets(lengths), backend="torch", **EVERYTHING)
    monkeypatch.setattr(chunked, "TILE_CPU", 2**13)
    monkeypatch.setattr(chunked, "ROWS_CPU", 13)
    small = attention_entropy(q, k, cu_seqlens=offsets(lengths), backend="torch", **EVERYTHING)
    for name in ("raw", "distance", "local_mass", "fixed", "topk"):
        torch.testing.assert_close(getattr(whole, name), getattr(small, name), atol=5e-5, rtol=1e-5)


def test_batched_equals_packed_and_layout_does_not_matter():
    q = torch.randn(3, 4, 50, 32)
    k = torch.randn(3, 2, 50, 32)
    view_q, view_k = q.transpose(1, 2), k.transpose(1, 2)  # as a transformers model lays them out
    batched = attention_entropy(view_q, view_k, query_start=[3, 0, 20], query_stop=[50, 7, 33])
    packed = attention_entropy(
        view_q.reshape(150, 4, 32), view_k.reshape(150, 2, 32),
        cu_seqlens=[0, 50, 100, 150], query_start=[3, 0, 20], query_stop=torch.tensor([50, 7, 33]),
    )  # fmt: skip
    assert torch.equal(batched.raw, packed.raw)
    assert len(batched.raw) == 47 + 7 + 13


def test_right_padding_is_harmless_behind_query_stop():
    q, k = random_qk([20], 2, 1, 16)
    pad = torch.full((12, 2, 16), 50.0)
    padded_q, padded_k = torch.cat([q, pad])[None], torch.cat([k, pad[:, :1]])[None]
    torch.testing.assert_close(attention_entropy(padded_q, padded_k, query_stop=20).raw, attention_entropy(q, k).raw)


@pytest.mark.parametrize("backend", ["reference", "torch", "triton"])
def test_given_log_sum_exp_is_reused(backend):
    lengths = [30, 70]
    q, k = random_qk(lengths, 4, 2, 32)
    lse = torch.cat([_lse(q[:30], k[:30]), _lse(q[30:], k[30:])], dim=1)
    plain = attention_entropy(q, k, cu_seqlens=offsets(lengths), backend=backend)
    given_lse = attention_entropy(q, k, cu_seqlens=offsets(lengths), lse=lse.float(), backend=backend)
    torch.testing.assert_close(plain.raw, given_lse.raw, atol=5e-6, rtol=0, check_dtype=False)
    # It is really read: another head's share changes the rows.
    lse[0] += 1.0
    other = attention_entropy(q, k, cu_seqlens=offsets(lengths), lse=lse.float(), backend=backend)
    assert (other.raw - plain.raw).abs().max() > 1e-3


def test_given_log_sum_exp_of_a_batch():
    q, k = torch.randn(2, 40, 4, 16), torch.randn(2, 40, 2, 16)
    lse = torch.stack([_lse(q[b], k[b]) for b in range(2)]).float()
    torch.testing.assert_close(attention_entropy(q, k, lse=lse).raw, attention_entropy(q, k).raw, atol=5e-6, rtol=0)


def _lse(q, k):
    length, heads, dim = q.shape
    k = k.double().repeat_interleave(heads // k.shape[1], dim=1)
    logits = torch.einsum("thd,shd->hts", q.double(), k) * dim**-0.5
    return logits.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), -math.inf).logsumexp(-1)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    key_heads=st.integers(1, 3),
    groups=st.integers(1, 4),
    dim=st.sampled_from([1, 2, 7, 32, 33]),
    sharpness=st.sampled_from([0.0, 0.1, 1.0, 10.0, 100.0]),
    seed=st.integers(0, 2**16),
)
def test_any_shape(lengths, key_heads, groups, dim, sharpness, seed):
    q, k = random_qk(lengths, key_heads * groups, key_heads, dim, seed=seed)
    q = q * sharpness
    generator = torch.Generator().manual_seed(seed)
    start = [int(torch.randint(0, n, (), generator=generator)) for n in lengths]
    stop = [int(torch.randint(a, n + 1, (), generator=generator)) for a, n in zip(start, lengths, strict=True)]
    args = {"cu_seqlens": offsets(lengths), "query_start": start, "query_stop": stop}
    result = attention_entropy(q, k, backend="torch", **args)
    expected = oracle(q, k, lengths, start, stop)
    assert torch.equal(result.visible, expected["visible"])
    if len(expected["raw"]):
        assert (result.raw.double() - expected["raw"]).abs().max() <= 2e-5
        assert_in_range(result)


def test_no_rows_wanted_gives_empty_results():
    q, k = random_qk([9], 2, 1, 16)
    result = attention_entropy(q, k, query_start=4, query_stop=4, **EVERYTHING)
    assert result.raw.shape == result.visible.shape == result.distance.shape == result.support_50.shape == (0,)


@pytest.mark.parametrize("backend", ["torch", "reference"])
@pytest.mark.parametrize("lse", [False, True])
def test_no_sequences_give_what_no_rows_give(backend, lse):
    q, k = torch.zeros(0, 5, 4, 8), torch.zeros(0, 5, 2, 8)
    none = attention_entropy(q.new_zeros(1, 5, 4, 8), k.new_zeros(1, 5, 2, 8), query_stop=0, **EVERYTHING)
    batched = attention_entropy(q, k, lse=torch.zeros(0, 4, 5) if lse else None, backend=backend, **EVERYTHING)
    packed_lse = torch.zeros(4, 0) if lse else None
    packed = attention_entropy(
        q.flatten(0, 1), k.flatten(0, 1), cu_seqlens=[0], lse=packed_lse, backend=backend, **EVERYTHING
    )
    for name, value in vars(none).items():
        if isinstance(value, torch.Tensor):
            for found in (getattr(batched, name), getattr(packed, name)):
                assert (found.shape, found.dtype) == (value.shape, value.dtype)
    assert attention_rows(q, k, []) == []


def test_every_element_is_written():
    lengths = [3, 130, 260]
    q, k = random_qk(lengths, 4, 2, 32)
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        result = attention_entropy(q, k, cu_seqlens=offsets(lengths), backend="torch", **EVERYTHING)
    finally:
        torch.use_deterministic_algorithms(False)
    assert_close(result, oracle(q, k, lengths, [0] * 3, lengths), 2e-5, support_slack=1)


def test_same_input_same_bits():
    q, k = random_qk([300], 4, 2, 32)
    assert torch.equal(attention_entropy(q, k).raw, attention_entropy(q, k).raw)


def test_no_gradient_and_no_change_of_inputs():
    q, k = random_qk([30], 2, 1, 16)
    copy = q.clone()
    result = attention_entropy(q.requires_grad_(), k)
    assert not result.raw.requires_grad
    assert torch.equal(q, copy)


def test_no_tensor_grows_with_the_square_of_the_length():
    # One head's T x T at 4096 would be 64 MiB; a tile is 2 MiB, and a head mean of 96 rows 1.5 MiB.
    q, k = random_qk([4096], 4, 2, 32)
    with LargestTensor() as seen:
        attention_entropy(q, k, query_start=len(q) - 256, backend="torch", **EVERYTHING)
    assert 2**20 < seen.bytes < 5 * 2**20


class LargestTensor(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, list | tuple) else [out]:
            if isinstance(x, torch.Tensor):
                self.bytes = max(self.bytes, x.untyped_storage().nbytes())
        return out
