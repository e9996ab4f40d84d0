"""The Triton kernels: in Triton's interpreter without a GPU (small sizes), on the device with one (larger ones)."""

import warnings

import pytest
import torch
from entropy_cases import (
    ADVERSARIAL,
    EVERYTHING,
    adversarial_qk,
    assert_close,
    assert_in_range,
    low_precision,
    offsets,
    oracle,
    random_qk,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenspectrum.entropy import attention_entropy

pytest.importorskip("triton")
# exp2 of logits that are not seen, and masked afterwards, may overflow: numpy, which interprets, mentions it.
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in.*:RuntimeWarning")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 1e-3, torch.float16: 1e-3}


def run(q, k, **kwargs):
    """The triton backend on the device, its result on the CPU."""
    if isinstance(kwargs.get("lse"), torch.Tensor):
        kwargs["lse"] = kwargs["lse"].to(DEVICE)
    result = attention_entropy(q.to(DEVICE), k.to(DEVICE), backend="triton", **kwargs)
    values = {n: v.cpu() if isinstance(v, torch.Tensor) else v for n, v in vars(result).items()}
    return type(result)(**values)


@pytest.mark.parametrize(("heads", "key_heads"), [(2, 2), (4, 1), (8, 1)])
@pytest.mark.parametrize("dim", [32, 64, 96, 128])
def test_ragged_batches_of_every_shape(heads, key_heads, dim):
    lengths = [1, 2, 33, 64, 100]
    q, k = random_qk(lengths, heads, key_heads, dim)
    start = [n // 3 for n in lengths]
    result = run(q, k, cu_seqlens=offsets(lengths), query_start=start, **EVERYTHING)
    assert result.backend == "triton"
    assert_close(result, oracle(q, k, lengths, start, lengths), 2e-5, support_slack=1)
    assert_in_range(result)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kind", ["random", *ADVERSARIAL])
def test_dtypes_and_adversarial_inputs(dtype, kind):
    length = 70
    q, k = random_qk([length], 4, 2, 64) if kind == "random" else adversarial_qk(kind, length, 4, 2, 64)
    q, k = q.to(dtype), k.to(dtype)
    result = run(q, k)
    expected = oracle(q, k, [length], [0], [length])
    error = (result.raw.double() - expected["raw"]).abs().max()
    assert error <= TOLERANCE[dtype], f"{error:.1e}"
    assert error <= 2 * (low_precision(q, k) - expected["raw"]).abs().max() + 1e-5
    assert_in_range(result)


@pytest.mark.parametrize("length", [260, 1030])
def test_long_rows(length):
    heads = 4 if length == 1030 else 8
    q, k = random_qk([length], heads, 2, 64, torch.bfloat16)
    start, stop = [length // 2 - 40], [length]
    result = run(q, k, query_start=start, **EVERYTHING)
    assert_close(result, oracle(q, k, [length], start, stop), 1e-3, support_slack=1)


def test_both_loop_orders_and_other_tiles_agree():
    from tokenspectrum.entropy import fused
    from tokenspectrum.entropy.inputs import check_options, make_problem

    q, k = random_qk([90], 4, 2, 32)
    problem = make_problem(q.to(DEVICE), k.to(DEVICE), None, None, None, None, None)
    options = check_options(("distance",), 32, None, None)
    plain = fused.fused_entropy(problem, options)
    for tile in (fused.Tile(64, 32, 4, 2, nested=True), fused.Tile(16, 64, 4, 2), fused.Tile(32, 16, 4, 2)):
        other = fused.fused_entropy(problem, options, lse_tile=tile, mean_tile=tile)
        torch.testing.assert_close(plain["raw"], other["raw"], atol=5e-6, rtol=0)
        torch.testing.assert_close(plain["distance"], other["distance"], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_several_key_tiles_a_chunk(monkeypatch, chunks):
    from tokenspectrum.entropy import fused

    lengths = [300, 40]
    q, k = random_qk(lengths, 2, 1, 32)
    monkeypatch.setattr(fused, "MOST_CHUNKS", chunks)
    start = [230, 0]
    result = run(q, k, cu_seqlens=offsets(lengths), query_start=start, **{**EVERYTHING, "fixed_k": 100})
    assert_close(result, oracle(q, k, lengths, start, lengths, fixed_k=100), 2e-5, support_slack=1)


def test_sorted_statistics_made_slab_by_slab(monkeypatch):
    from tokenspectrum.entropy import fused

    lengths = [40, 7, 90]
    q, k = random_qk(lengths, 2, 1, 32)
    monkeypatch.setattr(fused, "SLAB", 64 * 90)
    result = run(q, k, cu_seqlens=offsets(lengths), query_start=[3, 0, 11], **EVERYTHING)
    assert_close(result, oracle(q, k, lengths, [3, 0, 11], lengths), 2e-5, support_slack=1)


def test_every_element_is_written():
    lengths = [3, 70, 129]
    q, k = random_qk(lengths, 2, 1, 32)
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        result = run(q, k, cu_seqlens=offsets(lengths), **EVERYTHING)
    finally:
        torch.use_deterministic_algorithms(False)
    assert_close(result, oracle(q, k, lengths, [0] * 3, lengths), 2e-5, support_slack=1)


def test_batched_views_of_a_models_layout():
    q, k = torch.randn(2, 4, 20, 32).transpose(1, 2), torch.randn(2, 2, 20, 32).transpose(1, 2)
    torch.testing.assert_close(run(q, k).raw, attention_entropy(q, k).raw, atol=2e-6, rtol=0)


def test_logits_too_large_for_float32_are_left_to_torch():
    q, k = adversarial_qk("huge", 30, 2, 1, 32)
    assert run(q, k).backend == "torch"
    q, k = random_qk([10], 2, 1, 32, torch.float64)
    assert run(q, k).backend == "torch"


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=4),
    key_heads=st.integers(1, 2),
    groups=st.integers(1, 3),
    dim=st.sampled_from([8, 24, 32, 80]),
    seed=st.integers(0, 2**16),
)
def test_any_shape(lengths, key_heads, groups, dim, seed):
    q, k = random_qk(lengths, key_heads * groups, key_heads, dim, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result = run(q, k, cu_seqlens=offsets(lengths), **EVERYTHING)
    assert_close(result, oracle(q, k, lengths, [0] * len(lengths), lengths), 2e-5, support_slack=1)
    assert_in_range(result)


def test_no_sequences_give_empty_results():
    result = run(torch.zeros(0, 5, 4, 8), torch.zeros(0, 5, 2, 8), **EVERYTHING)
    assert result.raw.shape == result.visible.shape == result.distance.shape == result.support_50.shape == (0,)
