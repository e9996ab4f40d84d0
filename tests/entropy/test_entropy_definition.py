"""The definition itself: the float64 reference against hand-made rows, loops and closed forms."""

import math
import pathlib

import pytest
import torch
from entropy_cases import EVERYTHING, FIELDS, assert_close, mean_rows, offsets, oracle, random_qk

from tokenspectrum.entropy import attention_entropy, attention_rows, support_size


def test_reference_agrees_with_scalar_loops():
    q, k = random_qk([6], 4, 2, 8)
    result = attention_entropy(q, k, backend="reference")
    for t in range(6):
        row = [0.0] * (t + 1)
        for h in range(4):
            logits = [sum(float(q[t, h, d]) * float(k[j, h // 2, d]) for d in range(8)) / 8**0.5 for j in range(t + 1)]
            total = sum(math.exp(x) for x in logits)
            for j in range(t + 1):
                row[j] += math.exp(logits[j]) / total / 4
        raw = -sum(a * math.log(a) for a in row)
        assert float(result.raw[t]) == pytest.approx(raw, abs=1e-12)
        assert float(result.norm[t]) == pytest.approx(raw / math.log(t + 1) if t else 0.0, abs=1e-12)
        assert int(result.visible[t]) == t + 1


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_backends_agree_with_the_oracle(backend):
    lengths = [1, 2, 9, 40]
    q, k = random_qk(lengths, 4, 2, 32)
    result = attention_entropy(q, k, cu_seqlens=offsets(lengths), backend=backend, **EVERYTHING)
    assert result.backend == backend
    assert_close(result, oracle(q, k, lengths, [0] * 4, lengths), 1e-11 if backend == "reference" else 2e-5)


@pytest.mark.parametrize("backend", ["reference", "torch", "triton"])
def test_heads_are_averaged_before_the_entropy(backend):
    # Two heads that attend to one position each: the mean row has ln 2, each head alone has 0.
    q = torch.zeros(2, 2, 32)
    q[:, 0, 0], q[:, 1, 0] = 30.0, -30.0
    k = torch.zeros(2, 1, 32)
    k[0, 0, 0], k[1, 0, 0] = 1.0, -1.0
    raw = attention_entropy(q, k, backend=backend).raw[1]
    head_by_head = torch.stack([attention_entropy(q[:, h : h + 1], k, backend=backend).raw[1] for h in range(2)])
    assert float(raw) == pytest.approx(math.log(2), abs=1e-3)
    assert float(head_by_head.mean()) < 1e-3


def test_uniform_rows_reach_the_bound_and_one_hot_rows_zero():
    q, k = torch.zeros(50, 2, 16), torch.randn(50, 2, 16)
    result = attention_entropy(q, k, variants=("distance", "local_mass"), local_window=5)
    n = torch.arange(1, 51, dtype=torch.float64)
    torch.testing.assert_close(result.raw.double(), n.log(), atol=2e-6, rtol=0)
    torch.testing.assert_close(result.norm[1:], torch.ones(49), atol=1e-6, rtol=0)
    torch.testing.assert_close(result.distance.double(), (n - 1) / 2, atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(result.local_mass.double(), (5 / n).clamp_max(1.0), atol=1e-6, rtol=0)
    k = torch.ones(50, 2, 16)
    k[0] = 1000.0
    result = attention_entropy(torch.ones(50, 2, 16), k, variants=("distance",))
    assert float(result.raw.max()) == 0.0
    torch.testing.assert_close(result.distance.double(), n - 1)


def test_both_alignments_are_ranges_of_rows():
    prompt, response = 7, 5
    q, k = random_qk([prompt + response], 2, 1, 16)
    every = attention_entropy(q, k)
    decision = attention_entropy(q, k, query_start=prompt - 1, query_stop=prompt + response - 1)
    token = attention_entropy(q, k, query_start=prompt)
    assert decision.visible.tolist() == [prompt + t for t in range(response)]
    assert token.visible.tolist() == [prompt + t + 1 for t in range(response)]
    torch.testing.assert_close(decision.raw, every.raw[prompt - 1 : -1])
    torch.testing.assert_close(token.raw, every.raw[prompt:])


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_attention_rows_are_the_rows(backend):
    lengths = [5, 12]
    q, k = random_qk(lengths, 4, 2, 16)
    rows = attention_rows(q, k, [(1, 11), (0, 0), (1, 3)], cu_seqlens=offsets(lengths), backend=backend)
    whole = mean_rows(q[5:], k[5:])
    assert [len(row) for row in rows] == [12, 1, 4]
    torch.testing.assert_close(rows[0].double(), whole[11], atol=1e-6, rtol=0)
    torch.testing.assert_close(rows[2].double(), whole[3, :4], atol=1e-6, rtol=0)
    assert float(rows[1]) == 1.0


def test_support_size_counts_the_fewest_positions():
    rows = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 0.0]])
    assert support_size(rows).tolist() == [[1, 2, 3, 3], [2, 3, 3, 4], [1, 1, 1, 1]]
    assert support_size(rows, (0.35, 1.0)).tolist() == [[1, 3], [1, 4], [1, 1]]
    assert support_size(rows[0] * 7).tolist() == [1, 2, 3, 3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_support_of_uniform_rows_does_not_hang_on_rounding(dtype):
    for n in (10, 20, 40, 100, 200):
        sizes = support_size(torch.full((n,), 1 / n, dtype=dtype)).tolist()
        assert sizes == [math.ceil(n * percent / 100) for percent in (50, 80, 90, 95)]


def test_each_option_changes_what_it_should():
    q, k = random_qk([60], 2, 2, 16)
    base = {"variants": ("distance", "local_mass", "fixed", "topk", "support"), "fixed_k": 10, "top_k": 5}
    plain = attention_entropy(q, k, **base)
    changed = {
        "local_mass": attention_entropy(q, k, **base, local_window=3),
        "fixed": attention_entropy(q, k, **{**base, "fixed_k": 20}),
        "topk": attention_entropy(q, k, **{**base, "top_k": 9}),
    }
    for field, other in changed.items():
        for name in FIELDS:
            same = torch.equal(getattr(plain, name), getattr(other, name))
            assert same == (name != field), f"changing what sets {field} changed {name}: {not same}"
    assert not torch.allclose(plain.raw, attention_entropy(q, k, scale=0.01).raw)


def test_what_was_not_asked_for_is_none():
    q, k = random_qk([4], 1, 1, 16)
    result = attention_entropy(q, k)
    assert [getattr(result, name) for name in ("distance", "local_mass", "fixed", "topk", "support_50")] == [None] * 5


def test_fixed_and_top_k_agree_with_the_whole_row_where_it_is_shorter():
    q, k = random_qk([8], 2, 1, 16)
    result = attention_entropy(q, k, variants=("fixed", "topk"), fixed_k=8, top_k=8)
    torch.testing.assert_close(result.fixed, result.raw, atol=2e-6, rtol=0)
    torch.testing.assert_close(result.topk, result.raw, atol=2e-6, rtol=0)


def test_fixed_k_survives_underflow():
    # The first 4 positions hold e^-120 of the mass: their own shape is still an entropy of two equal positions.
    q, k = torch.ones(6, 1, 1), torch.tensor([-60.0, -60.0, -200.0, -200.0, 60.0, 60.0]).view(6, 1, 1)
    result = attention_entropy(q, k, scale=1.0, variants=("fixed",), fixed_k=4)
    assert float(result.fixed[-1]) == pytest.approx(math.log(2), abs=2e-5)


def test_the_example_of_the_docs_runs():
    page = (pathlib.Path(__file__).parents[2] / "docs/entropy.md").read_text()
    names: dict[str, object] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    assert names["result"].raw.shape == (60 + 140,)
    assert names["result"].visible[[0, 60, -1]].tolist() == [40, 60, 199]
