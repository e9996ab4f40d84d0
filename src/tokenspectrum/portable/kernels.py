"""PyTorch's matrix products on CPUs, by NumPy's OpenBLAS in place of MKL.  Knows tensors; knows no model.

MKL has other kernels for AMD than for Intel and no fast setting under which both give the same bytes.  OpenBLAS runs
the one kernel that it is told to.  Its products are as fast here: benchmarks/portable.csv.  Square roots are NumPy's
too: MKL starts them from an approximation that each CPU model makes in its own way.

Attention takes PyTorch's plain path, whose products pass here; the fused one calls MKL by itself.  Products on other
devices, and everything else on CPUs, are PyTorch's own.
"""

import warnings
from functools import cache
from typing import Any

import numpy as np
import torch

_LIBRARY = "aten"
_NUMPY_TYPES = frozenset({torch.float32, torch.float64, torch.int32, torch.int64})


def _array(x: torch.Tensor) -> np.ndarray:
    """The tensor's own memory where OpenBLAS can read its rows or columns as they lie, else a copy."""
    x = x.detach().resolve_conj().resolve_neg()
    if x.dim() > 1:
        row, column = x.stride()[-2:]
        if not (column == 1 and row >= x.shape[-1]) and not (row == 1 and column >= x.shape[-2]):
            x = x.contiguous()
    return x.numpy()


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.dtype in _NUMPY_TYPES:
        return torch.from_numpy(np.asarray(np.matmul(_array(a), _array(b))))
    # NumPy has no bfloat16: multiplied in float32 and rounded once.
    return torch.from_numpy(np.asarray(np.matmul(_array(a.float()), _array(b.float())))).to(a.dtype)


def _added(bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: float = 1, alpha: float = 1) -> torch.Tensor:
    product = _product(a, b) if alpha == 1 else _product(a, b) * alpha
    if beta == 0:  # then a NaN in the bias does not count
        return product
    return product + (bias if beta == 1 else bias * beta)


def _root(x: torch.Tensor) -> torch.Tensor:
    if not x.is_floating_point():
        x = x.to(torch.get_default_dtype())
    if x.dtype in _NUMPY_TYPES:
        with np.errstate(invalid="ignore"):
            return torch.from_numpy(np.asarray(np.sqrt(x.detach().numpy())))
    return _root(x.float()).to(x.dtype)


def _attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> torch.Tensor:
    if attn_mask is not None and attn_mask.dtype == torch.bool:  # the plain path adds masks
        attn_mask = torch.zeros_like(attn_mask, dtype=q.dtype).masked_fill_(~attn_mask, float("-inf"))
    plain = torch.ops.aten._scaled_dot_product_attention_math
    return plain(q, k, v, attn_mask, dropout_p, is_causal, **options)[0]


def _into(function: Any) -> Any:
    """The variant that writes to `out`."""

    def write(*args: Any, out: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        result = function(*args, **kwargs)
        return out.resize_(result.shape).copy_(result)

    return write


def _in_place(x: torch.Tensor) -> torch.Tensor:
    return x.copy_(_root(x))


@cache
def install() -> torch.library.Library:
    """Replace the kernels in this process, once; they stay for as long as it lives."""
    library = torch.library.Library(_LIBRARY, "IMPL")
    kernels = {"mm": _product, "bmm": _product, "mv": _product, "dot": _product, "addmm": _added, "baddbmm": _added}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*only once for all operators")
        for name, kernel in {**kernels, "addmv": _added, "sqrt": _root}.items():
            library.impl(name, kernel, "CPU")
            library.impl(f"{name}.out", _into(kernel), "CPU")
        library.impl("sqrt_", _in_place, "CPU")
        # With gradients and without; torch.backends.cuda.enable_flash_sdp would take the fused path from GPUs too.
        for key in ("AutogradCPU", "CPU"):
            library.impl("scaled_dot_product_attention", _attention, key)
    return library
