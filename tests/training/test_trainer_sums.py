"""Gradients added to sums: those that autograd gives, in the order of the micro-batches whoever comes first."""

import functools
import time

import pytest
import torch

from tokenspectrum.systems.shared_memory import keep_shared, zeros_for
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.training.backends.local.sums import Turns, add_gradient

# Their sum in float32 depends on the order.
PARTS = [1e8, 1.0, -1e8, 1.0, 3.0, -7.0]


def parameters() -> list[torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(3)
    return [torch.nn.Parameter(torch.randn(4, 3, generator=draw)) for _ in range(3)]


def test_a_gradient_is_added_and_none_is_left_behind():
    first, second, unused = parameters()
    objective = (first.exp() * second).sum() + first.square().sum()
    want = torch.autograd.grad(objective, [first, second], retain_graph=True)
    sums = [torch.full((4, 3), 2.0, dtype=torch.float64) for _ in range(3)]
    for _ in range(2):
        add_gradient(objective, [first, second, unused], sums, retain_graph=True)
    for total, gradient in zip(sums, [*want, torch.zeros(4, 3)], strict=True):
        assert torch.equal(total, 2.0 + gradient.double() + gradient.double())
    assert [parameter.grad for parameter in (first, second, unused)] == [None] * 3
    objective.backward(retain_graph=True)  # no hook is left
    assert torch.equal(first.grad, want[0])
    with pytest.raises(ValueError, match="has a gradient already"):
        add_gradient(objective, [first, second, unused], sums)


def test_the_first_gradient_takes_the_place_of_what_was_there():
    first, second, unused = parameters()
    objective = (first.exp() * second - 0.0 * first).sum()
    want = torch.autograd.grad(objective, [first, second], retain_graph=True)
    sums = [torch.full((4, 3), float("nan")) for _ in range(3)]
    add_gradient(objective, [first, second, unused], sums, retain_graph=True, first=True)
    zeros = [torch.zeros(4, 3) for _ in range(3)]
    add_gradient(objective, [first, second, unused], zeros)
    for total, added, gradient in zip(sums, zeros, [*want, torch.zeros(4, 3)], strict=True):
        assert torch.equal(total, gradient)
        assert total.numpy().tobytes() == added.numpy().tobytes()  # the signs of zeros too


@pytest.mark.parametrize("processes", [2, 3, 6])
def test_the_first_adds_first_however_late_it_comes(processes):
    first, second, unused = parameters()
    sums = [zeros_for(2, parameter) for parameter in (first, second, unused)]
    turns = Turns(1, 3)

    def add(number: int) -> None:
        time.sleep(0.05 * (len(PARTS) - number))
        with torch.no_grad():  # a gradient by hand: this process may have taken one already
            for i, power in ((0, 1), (1, 2)):
                with turns.of(0, number, i):
                    sums[i].add_(PARTS[number] ** power)
            with turns.of(0, number, 2):
                pass

    list(side_by_side(add, range(len(PARTS)), processes))
    total = functools.reduce(lambda a, b: a + b, [torch.tensor(part) for part in PARTS], torch.tensor(0.0))
    assert float(total) != sum(PARTS)
    assert torch.equal(sums[0], total.expand(4, 3))
    assert not sums[2].any()


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_what_a_fork_writes_is_seen_here(dtype):
    held = zeros_for(2, torch.empty(2, 5), dtype)
    assert held.dtype == (dtype or torch.float32)
    assert not held.any()
    list(side_by_side(lambda row: held[row].fill_(row + 1).sum().item(), [0, 1], 2))
    assert held[:, 0].tolist() == [1.0, 2.0]
    assert zeros_for(2, torch.empty(0, 5)).shape == (0, 5)


def test_weights_and_moments_are_shared_and_a_step_is_the_same():
    def trained(shared: bool) -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
        model = torch.nn.Linear(3, 2)
        with torch.no_grad():
            model.weight.copy_(torch.arange(6.0).view(2, 3))
            model.bias.fill_(0.5)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        if shared:
            keep_shared(model, optimizer)
        for step in range(3):
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, step + 1.0)
            optimizer.step()
        return model, optimizer

    (model, optimizer), (other, its) = trained(True), trained(False)
    held = [
        tensor
        for parameter in model.parameters()
        for tensor in (parameter.detach(), *(v for v in optimizer.state[parameter].values() if v.numel() > 1))
    ]
    assert len(held) == 2 * 3
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        for name, value in its.state[theirs].items():
            assert torch.equal(optimizer.state[ours][name], value)
    list(side_by_side(lambda i: held[i].fill_(i).sum().item(), range(len(held)), 2))
    assert all(bool((tensor == i).all()) for i, tensor in enumerate(held))
