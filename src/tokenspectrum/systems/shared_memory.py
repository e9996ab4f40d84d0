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


@torch.no_grad()
def keep_shared(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Move weights now, and the optimiser's state after its first step, to memory that forks share with this process.

    Else each page of them that a step writes after a fork costs a fault.  The values stay the same.
    """
    shared = dict[int, torch.Tensor]()  # by address, and so kept

    def move(value: torch.Tensor) -> torch.Tensor:
        if value.numel() <= 1 or value.data_ptr() in shared:
            return value
        found = zeros_for(2, value).copy_(value)
        shared[found.data_ptr()] = found
        return found

    def move_state(*_: object) -> None:
        for state in optimizer.state.values():
            state |= {name: move(value) for name, value in state.items()}

    for parameter in model.parameters():
        parameter.data = move(parameter.data)
    optimizer.register_step_post_hook(move_state)
