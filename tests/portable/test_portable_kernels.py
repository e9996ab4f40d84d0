"""Matrix products and roots in MKL's place: right for every layout, type and variant that PyTorch allows."""

import pytest
import torch
from torch.autograd import gradcheck

from tokenspectrum.portable.attention import BLOCK

TYPES = [torch.float32, torch.float64, torch.bfloat16]


def rand(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64).to(dtype)


def reference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The product in float64, by sums of element-wise products: no matrix product's kernel."""
    return (a.double()[..., :, :, None] * b.double()[..., None, :, :]).sum(-2)


def close(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> None:
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=4 * torch.finfo(dtype).eps ** 0.9, atol=1e-5)


LAYOUTS = {
    "rows": lambda: rand(7, 12),
    "transposed": lambda: rand(12, 7).T,
    "every other row": lambda: rand(14, 12)[::2],
    "every other column": lambda: rand(7, 24)[:, ::2],
    "one row expanded": lambda: rand(1, 12).expand(7, 12),
    "one row": lambda: rand(1, 12),
    "no rows": lambda: rand(0, 12),
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_mm_of_any_layout(layout: str, dtype: torch.dtype) -> None:
    a, b = LAYOUTS[layout]().to(dtype), rand(5, 12).T.to(dtype)
    close(a @ b, reference(a, b), dtype)
    close(b.T @ a.T, reference(b.T, a.T), dtype)


def test_a_product_over_nothing_is_zero() -> None:
    assert torch.equal(torch.ones(2, 0) @ torch.ones(0, 3), torch.zeros(2, 3))


@pytest.mark.parametrize("dtype", TYPES)
def test_bmm_of_heads_as_attention_lays_them(dtype: torch.dtype) -> None:
    q_BTHD, k_BSHD = rand(2, 5, 3, 4, dtype=dtype), rand(2, 6, 3, 4, dtype=dtype)
    q_HTD, k_HDS = q_BTHD.transpose(1, 2)[0], k_BSHD.permute(0, 2, 3, 1)[0]
    close(torch.bmm(q_HTD, k_HDS), reference(q_HTD, k_HDS), dtype)


@pytest.mark.parametrize(("beta", "alpha"), [(1, 1), (0.5, 2.0), (0, 1)])
def test_products_that_are_added(beta: float, alpha: float) -> None:
    a, b, bias = rand(3, 4), rand(4, 5), rand(5)
    expected = beta * bias + alpha * reference(a, b)
    torch.testing.assert_close(torch.addmm(bias, a, b, beta=beta, alpha=alpha), expected)
    batched = torch.baddbmm(bias.expand(1, 3, 5), a[None], b[None], beta=beta, alpha=alpha)
    torch.testing.assert_close(batched[0], expected)
    vector = torch.addmv(rand(3), a, b[:, 0], beta=beta, alpha=alpha)
    torch.testing.assert_close(vector, beta * rand(3) + alpha * reference(a, b[:, :1])[:, 0])


def test_a_bias_times_zero_does_not_count() -> None:
    bias = torch.full((2,), float("nan"))
    assert torch.isfinite(torch.addmm(bias, torch.ones(3, 4), torch.ones(4, 2), beta=0)).all()


def test_vectors() -> None:
    a, x = rand(4, 5), rand(5)
    torch.testing.assert_close(a @ x, (a * x).sum(1))
    torch.testing.assert_close(torch.dot(x, x), (x * x).sum())


def test_results_go_where_they_are_told() -> None:
    a, b, out = rand(3, 4), rand(4, 5), torch.empty(3, 5, dtype=torch.float64)
    assert torch.mm(a, b, out=out) is out
    torch.testing.assert_close(out, reference(a, b))
    scattered = torch.empty(5, 3, dtype=torch.float64).T
    for place in (scattered, torch.empty(0, dtype=torch.float64)):
        assert torch.equal(torch.mm(a, b, out=place), out)
        assert torch.equal(place, out)
    assert torch.equal(torch.bmm(a[None], b[None], out=torch.empty(1, 3, 5, dtype=torch.float64))[0], out)
    half, narrow = torch.empty(3, 5, dtype=torch.bfloat16), [x.bfloat16() for x in (a, b)]
    assert torch.equal(torch.mm(*narrow, out=half), narrow[0] @ narrow[1])
    x = torch.tensor([4.0, 9.0])
    assert x.sqrt_() is x
    assert x.tolist() == [2.0, 3.0]


def test_integers_multiply_exactly() -> None:
    a = torch.tensor([[2**40, 1], [3, 4]])
    assert (a @ a).tolist() == [[3, 2**40 + 4], [3 * 2**40 + 12, 19]]  # 2^80 is 0 in 64 bits


def test_roots_are_correctly_rounded() -> None:
    x = rand(1000, dtype=torch.float32).abs()
    assert torch.equal(x.sqrt(), x.double().sqrt().float())
    assert torch.tensor(-1.0).sqrt().isnan()
    assert torch.tensor(4).sqrt() == 2.0


def test_gradients_pass() -> None:
    a, b, bias = (rand(*s).requires_grad_() for s in ((3, 4), (4, 5), (5,)))
    assert gradcheck(lambda a, b, c: torch.addmm(c, a, b).square().sum().add(1).sqrt(), (a, b, bias))


LONGER = BLOCK + 3  # more than one block of queries
CASES = {
    "causal": {"is_causal": True},
    "causal groups": {"is_causal": True, "enable_gqa": True},
    "masked": {"mask": "bool", "scale": 0.3},
    "masked groups": {"mask": "bool", "enable_gqa": True},
    "numbers added": {"mask": "numbers"},
    "all seen": {},
}


def attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, seen: torch.Tensor, scale: float) -> torch.Tensor:
    """The definition, without matrix products; a query that sees no key gets zeros."""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    weight = (reference(q, k.transpose(-1, -2)) * scale).exp() * seen
    return reference(weight / weight.sum(-1, keepdim=True).clamp(min=1e-300), v)


def seen_by(case: dict, length: int) -> torch.Tensor:
    """Who sees whom; the first query of the masks sees nobody."""
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return causal if "is_causal" in case else causal.tril(-1) if "mask" in case else causal | True


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, case: dict) -> torch.Tensor:
    options, mask = dict(case), None
    kind = options.pop("mask", None)
    if kind is not None:
        mask = seen_by(case, q.shape[-2]).expand(q.shape[0], 1, -1, -1)
        mask = mask if kind == "bool" else torch.where(mask, 0.0, float("-inf")).to(q.dtype)
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, **options)


def heads(case: dict, length: int, width: int = 4, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Queries, keys and values as models lay them: heads beside one another."""
    counts = (4, 2, 2) if "enable_gqa" in case else (2, 2, 2)
    return [rand(2, length, h, width + i, dtype=dtype).transpose(1, 2) for h, i in zip(counts, (0, 0, 1), strict=True)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("length", [5, LONGER])
def test_attention_is_its_definition(name: str, length: int) -> None:
    case = CASES[name]
    q, k, v = (x.requires_grad_() for x in heads(case, length))
    expected = attended(q, k, v, seen_by(case, length), case.get("scale", 0.5))
    found = attend(q, k, v, case)
    torch.testing.assert_close(found, expected)
    with torch.inference_mode():
        assert torch.equal(attend(q, k, v, case), found)
    wanted = torch.autograd.grad(expected.sin().sum(), (q, k, v))
    for x, y in zip(torch.autograd.grad(found.sin().sum(), (q, k, v)), wanted, strict=True):
        torch.testing.assert_close(x, y)


def test_gradients_of_attention_pass() -> None:
    q, k, v = (x.requires_grad_() for x in heads(CASES["masked groups"], 3, width=2))
    assert gradcheck(lambda *x: attend(*x, CASES["masked groups"]), (q, k, v))


def test_one_query_attends_to_all_keys_as_a_decoder_asks() -> None:
    q, k, v = heads({"enable_gqa": True}, 7, dtype=torch.float32)
    seen = torch.tensor([[True] * 7, [False] * 2 + [True] * 5])[:, None, None].expand(2, 1, 1, 7)
    found = torch.nn.functional.scaled_dot_product_attention(q[:, :, :1], k, v, seen, enable_gqa=True)
    torch.testing.assert_close(found.double(), attended(q[:, :, :1], k, v, seen, 0.5), rtol=1e-5, atol=1e-6)


def test_what_is_seldom_asked_takes_the_plain_path() -> None:
    q, k, v = heads({}, 5)
    three = torch.nn.functional.scaled_dot_product_attention(q[0], k[0], v[0], is_causal=True)
    torch.testing.assert_close(three, attended(q, k, v, seen_by({"is_causal": True}, 5), 0.5)[0])
    few = torch.nn.functional.scaled_dot_product_attention(q[:, :, :3], k, v, is_causal=True)
    torch.testing.assert_close(few, attended(q[:, :, :3], k, v, seen_by({"is_causal": True}, 5)[:3], 0.5))
    bias = torch.zeros(5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.nn.functional.scaled_dot_product_attention(q, k, v, bias).requires_grad
    assert not torch.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=1.0).any()
    half = torch.nn.functional.scaled_dot_product_attention(*(x.bfloat16() for x in (q, k, v)))
    torch.testing.assert_close(half.double(), attended(q, k, v, seen_by({}, 5), 0.5), rtol=0.05, atol=0.05)


def test_the_fused_path_of_gpus_stays() -> None:
    assert torch.backends.cuda.flash_sdp_enabled()


def test_attention_does_not_call_the_fused_path() -> None:
    q = rand(1, 2, 5, 4, dtype=torch.float32)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)
    names = {event.key for event in profile.key_averages()}
    assert "aten::_softmax" in names
    assert not any("flash" in name for name in names)


def test_what_was_multiplied_can_be_freed_as_fsdp_does() -> None:
    x = rand(3, 4)
    x @ rand(4, 5)
    x.abs().sqrt()
    torch.nn.functional.scaled_dot_product_attention(*(x.expand(1, 1, 3, 4),) * 3)
    x.untyped_storage().resize_(0)


def test_bytes_do_not_depend_on_where_operands_lie() -> None:
    """Kernels that begin at an aligned address would sum in another order elsewhere."""
    for shape in ((33, 70), (1, 70), (33, 1)):
        a, b = rand(*shape, dtype=torch.float32), rand(shape[1], 29, dtype=torch.float32)
        moved = [torch.cat([torch.zeros(3), x.flatten()])[3:].view(x.shape) for x in (a, b)]
        assert torch.equal(a @ b, moved[0] @ moved[1])
        assert torch.equal(a @ b[:, 0], moved[0] @ moved[1][:, 0])
