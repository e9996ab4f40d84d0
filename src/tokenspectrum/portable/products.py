"""Matrix products and square roots of CPU tensors by NumPy.  Knows tensors and NumPy's OpenBLAS.

Where the CPU has AVX-512, large products of two matrices take wide.py's way to the same bytes.
"""

from typing import Any

import numpy as np
import torch
from torch.utils.dlpack import to_dlpack

from tokenspectrum.portable import wide

# NumPy has no bfloat16, and OpenBLAS no float16: multiplied in float32 and rounded once.
_HALF = frozenset({torch.bfloat16, torch.float16})


class _Memory:
    """A tensor's memory for NumPy to read.  Tensor.numpy() would forbid FSDP to free it afterwards."""

    __slots__ = ("_tensor",)

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor

    def __dlpack__(self, **_: Any) -> Any:
        return to_dlpack(self._tensor)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # the CPU


def array(x: torch.Tensor) -> np.ndarray:
    """The tensor's own memory where OpenBLAS can read its rows or columns as they lie, else a copy; to be read only."""
    if x.is_conj() or x.is_neg():
        x = x.resolve_conj().resolve_neg()
    if x.dim() > 1:
        row, column = x.stride()[-2:]
        if not (column == 1 and row >= x.shape[-1]) and not (row == 1 and column >= x.shape[-2]):
            x = x.contiguous()
    return np.from_dlpack(_Memory(x))


def _multiply(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """out = a @ b, whose shape, type and order `out` has."""
    left, right, into = array(a), array(b), out.numpy()
    if not wide.product_into(left, right, into):
        np.matmul(left, right, out=into)
    return out


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a @ b of two vectors, a matrix and a vector, two matrices, or as many matrices each."""
    if a.dtype in _HALF:
        return product(a.float(), b.float()).to(a.dtype)
    out = a.new_empty(a.shape[:-1] + (b.shape[-1:] if b.dim() > 1 else ()))
    return _multiply(a, b, out)


def product_into(a: torch.Tensor, b: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
    """a @ b written to `out`, without a copy where it has the shape and the type."""
    shape = (*a.shape[:-1], b.shape[-1])
    if out.shape != shape or out.dtype != a.dtype or a.dtype in _HALF or out.requires_grad or not out.is_contiguous():
        return out.resize_(shape).copy_(product(a, b))
    return _multiply(a, b, out)


def added(bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: float = 1, alpha: float = 1) -> torch.Tensor:
    """beta bias + alpha a @ b."""
    found = product(a, b) if alpha == 1 else product(a, b) * alpha
    if beta == 0:  # then a NaN in the bias does not count
        return found
    return found + (bias if beta == 1 else bias * beta)


def root(x: torch.Tensor) -> torch.Tensor:
    """Square roots, correctly rounded; of integers as PyTorch's default type."""
    if not x.is_floating_point() and not x.is_complex():
        x = x.to(torch.get_default_dtype())
    if x.dtype in _HALF:
        return root(x.float()).to(x.dtype)
    out = torch.empty_like(x, requires_grad=False)
    with np.errstate(invalid="ignore"):
        np.sqrt(array(x), out=out.numpy())
    return out
