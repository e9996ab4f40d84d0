"""PyTorch's matrix products, square roots and attention on CPUs, by NumPy in place of MKL.  Knows PyTorch's dispatcher.

MKL has other kernels for AMD than for Intel and no fast setting under which both give the same bytes.  OpenBLAS runs
the one kernel that it is told to.  MKL starts square roots from an approximation that each CPU model makes in its own
way.  What runs on other devices, and everything else on CPUs, is PyTorch's own.
"""

import warnings
from functools import cache
from typing import Any

import torch

from tokenspectrum.portable.attention import attention
from tokenspectrum.portable.products import added, product, product_into, root

_LIBRARY = "aten"


def _into(function: Any) -> Any:
    """The variant that writes to `out`."""

    def write(*args: Any, out: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        result = function(*args, **kwargs)
        return out.resize_(result.shape).copy_(result)

    return write


def _root_in_place(x: torch.Tensor) -> torch.Tensor:
    return x.copy_(root(x))


@cache
def install() -> torch.library.Library:
    """Replace the kernels in this process, once; they stay for as long as it lives."""
    library = torch.library.Library(_LIBRARY, "IMPL")
    kernels = {"mm": product, "bmm": product, "mv": product, "dot": product, "addmm": added, "baddbmm": added}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*only once for all operators")
        for name, kernel in {**kernels, "addmv": added, "sqrt": root}.items():
            library.impl(name, kernel, "CPU")
            library.impl(f"{name}.out", product_into if name in ("mm", "bmm") else _into(kernel), "CPU")
        library.impl("sqrt_", _root_in_place, "CPU")
        # With gradients and without; torch.backends.cuda.enable_flash_sdp would take the fused path from GPUs too.
        for key in ("AutogradCPU", "CPU"):
            library.impl("scaled_dot_product_attention", attention, key)
    return library
