"""Tensors that forks of this process write for it.  Knows nothing of what is in them."""

import mmap

import torch


def zeros_for(processes: int, like: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Zeros of the shape of `like`, of its type if none is given.

    For more than one process they are on the CPU, and what a fork made later writes there, all see.
    """
    dtype = like.dtype if dtype is None else dtype
    if processes <= 1 or not like.numel():
        return torch.zeros_like(like, dtype=dtype, requires_grad=False)
    memory = mmap.mmap(-1, like.numel() * dtype.itemsize)  # its pages are zeros
    return torch.frombuffer(memory, dtype=dtype, count=like.numel()).view(like.shape)
