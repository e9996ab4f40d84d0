"""The head of a large vocabulary: the plain formula's values and derivatives, without its matrix of logits."""

from typing import Any

import pytest
import torch
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from tokenspectrum.training.backends.local import head
from tokenspectrum.training.backends.local.head import blocked_logprobs

N, C, V = 7, 5, 11


def given(dtype: torch.dtype = torch.float64, bias: bool = True) -> tuple[Any, ...]:
    torch.manual_seed(0)
    hidden, weight = torch.randn(N, C, dtype=dtype), torch.randn(V, C, dtype=dtype)
    wanted = [hidden, weight, torch.randn(V, dtype=dtype) if bias else None]
    return (*(x if x is None else x.requires_grad_() for x in wanted), torch.randint(V, (N,)))


def plain(hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, target: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.linear(hidden, weight, bias).log_softmax(1).gather(1, target[:, None])[:, 0]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_values_and_derivatives_are_the_plain_formula_s(monkeypatch, bias, rows):
    monkeypatch.setattr(head, "BLOCK", rows * V)
    inputs = given(bias=bias)
    pull = torch.randn(N, dtype=torch.float64)
    found, expected = blocked_logprobs(*inputs), plain(*inputs)
    assert torch.allclose(found, expected, atol=1e-12)
    learnt = [x for x in inputs[:3] if x is not None]
    for one, other in zip(
        torch.autograd.grad((found * pull).sum(), learnt),
        torch.autograd.grad((expected * pull).sum(), learnt),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-12)
    assert gradcheck(blocked_logprobs, inputs, check_forward_ad=True)


class Largest(TorchDispatchMode):
    """The most elements that one tensor had."""

    found = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **kwargs or {})
        if isinstance(out, torch.Tensor):
            self.found = max(self.found, out.numel())
        return out


def test_no_tensor_has_a_row_of_logits_for_every_token(monkeypatch):
    monkeypatch.setattr(head, "BLOCK", 2 * V)
    inputs = given(torch.float32)
    with Largest() as largest:
        blocked_logprobs(*inputs).sum().backward()
    assert largest.found == V * C  # the gradient of the head itself
