"""Gradients of micro-batches, added to sums: parameter by parameter, each as soon as it is known.

So no more than the sums are held, and no second gradient.  Processes that share the micro-batches add in the order in
which one process would, so the sums have the same bytes.

Knows parameters and scalars to take gradients of.  Knows no model and no loss.
"""

import contextlib
import functools
import mmap
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch

# turn(i) is entered while the sum of parameter i is added to.
Turn = Callable[[int], AbstractContextManager[None]]


def no_turns(i: int) -> AbstractContextManager[None]:
    """A Turn where nobody else adds."""
    return contextlib.nullcontext()


class Turns:
    """Whose turn it is to add to each of K gradients' sums, one a parameter.

    Made before the processes that take turns are forked.
    """

    def __init__(self, gradients: int, parameters: int) -> None:
        self._changed = multiprocessing.get_context("fork").Condition()
        memory = mmap.mmap(-1, 8 * max(1, gradients * parameters))
        self._added_KP = np.frombuffer(memory, np.int64)[: gradients * parameters].reshape(gradients, parameters)

    @contextlib.contextmanager
    def of(self, k: int, before: int, i: int) -> Iterator[None]:
        """Wait until `before` micro-batches have added to gradient k's sum of parameter i; then count this one."""
        with self._changed:
            self._changed.wait_for(lambda: self._added_KP[k, i] == before)
        yield
        with self._changed:
            self._added_KP[k, i] += 1
            self._changed.notify_all()


def add_gradient(
    objective: torch.Tensor,
    parameters: Sequence[torch.nn.Parameter],
    sums: Sequence[torch.Tensor],
    turn: Turn = no_turns,
    retain_graph: bool = False,
    first: bool = False,
) -> None:
    """sums[i] += d objective / d parameters[i].  Every sum has its turn, also where `objective` does not depend on it.

    With `first` the sums are taken for zeros, whatever they hold: to fill a whole model's with zeros takes its time.
    The parameters' own `.grad` must be None, else ValueError, and is None afterwards.
    """
    left = set(range(len(parameters)))

    def add(i: int, gradient: torch.Tensor) -> None:
        with turn(i):
            if first:
                torch.add(gradient, 0.0, out=sums[i])  # no copy: 0 + -0 is 0
            else:
                sums[i].add_(gradient)
        left.discard(i)

    each_gradient(objective, parameters, add, retain_graph)
    for i in sorted(left):
        with turn(i):
            if first:
                sums[i].zero_()


def each_gradient(
    objective: torch.Tensor,
    parameters: Sequence[torch.nn.Parameter],
    use: Callable[[int, torch.Tensor], None],
    retain_graph: bool = False,
) -> None:
    """use(i, d objective / d parameters[i]) of each parameter that `objective` depends on; none is kept.

    The parameters' own `.grad` must be None, else ValueError, and is None afterwards.
    """
    if any(parameter.grad is not None for parameter in parameters):
        raise ValueError("a parameter has a gradient already; it would be added too")

    def hand_over(i: int, parameter: torch.Tensor) -> None:
        assert parameter.grad is not None
        use(i, parameter.grad)
        parameter.grad = None

    hooks = [
        parameter.register_post_accumulate_grad_hook(functools.partial(hand_over, i))
        for i, parameter in enumerate(parameters)
    ]
    try:
        objective.backward(retain_graph=retain_graph)
    finally:
        for hook in hooks:
            hook.remove()
