"""Tensors that forks of this process write for it.  Knows nothing of what is in them."""

import mmap

import torch


def zeros_for_forks(like: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Zeros of the shape of `like`, of its type if none is given.  What a fork made later writes there, all see.

    On another device than the CPU, where nothing is forked, they are plain zeros.
    """
    dtype = like.dtype if dtype is None else dtype
    if like.device.type != "cpu":
        return torch.zeros_like(like, dtype=dtype, requires_grad=False)
    memory = mmap.mmap(-1, max(1, like.numel() * dtype.itemsize))  # its pages are zeros
    return torch.frombuffer(memory, dtype=dtype, count=like.numel()).view(like.shape)
