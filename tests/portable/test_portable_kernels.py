"""Matrix products and roots in MKL's place: right for every layout, type and variant that PyTorch allows."""

import pytest
import torch
from torch.autograd import gradcheck

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


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("options", [{"is_causal": True}, {"masked": True, "scale": 0.3}, {"enable_gqa": True}])
def test_attention_is_right_with_masks_groups_and_gradients(options: dict, grad: bool) -> None:
    q, k, v = (rand(1, heads, 5, 4).requires_grad_(grad) for heads in (4, 2, 2))
    if "enable_gqa" not in options:
        q = q[:, :2]
    visible = torch.ones(5, 5, dtype=torch.bool).tril() if options.keys() & {"masked", "is_causal"} else None
    with torch.inference_mode(not grad):
        rest = {name: value for name, value in options.items() if name != "masked"}
        mask = visible if "masked" in options else None
        found = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, **rest)
        heads = [x.repeat_interleave(q.shape[1] // 2, 1) for x in (k, v)]
        scores = reference(q, heads[0].transpose(-1, -2)) * options.get("scale", 0.5)
        if visible is not None:
            scores = scores.masked_fill(~visible, float("-inf"))
        torch.testing.assert_close(found, reference(scores.softmax(-1), heads[1]))
    assert found.requires_grad == grad


def test_the_fused_path_of_gpus_stays() -> None:
    assert torch.backends.cuda.flash_sdp_enabled()


def test_attention_takes_the_path_whose_products_pass_here() -> None:
    q = rand(1, 2, 5, 4, dtype=torch.float32)
    found = torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)
    names = {event.key for event in profile.key_averages()}
    assert "aten::bmm" in names
    assert not any("flash" in name for name in names)
    scores = reference(q, q.transpose(-1, -2)) / 2 + torch.full((5, 5), float("-inf")).triu(1)
    torch.testing.assert_close(found.double(), reference(scores.softmax(-1), q), rtol=1e-5, atol=1e-6)
