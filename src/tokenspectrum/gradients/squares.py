"""Squared lengths of many gradients of sums over tokens, and their inner products with one that is held.

Of a large policy one gradient is much memory, and so is the time to hand it on.  So all of them use the same memory one
after the other: who adds the last micro-batch to a parameter's sum multiplies it out, and sets it to zero for the next.

Knows a model and responses.  Knows no rule.  Legend: N response tokens of all responses in order, K sums, P parameters.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from tokenspectrum.rollout.types import Response
from tokenspectrum.systems.shared_memory import zeros_for
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.training.backends.local.pulls import Vector, batches, held_at_once, inner, objectives, trained
from tokenspectrum.training.backends.local.sums import Turns, add_gradient


@dataclass(frozen=True)
class Products:
    """Of each gradient g_k: own_K |g_k|^2, and along_K <g_k, v>, 0 where no v was given."""

    own_K: list[float]
    along_K: list[float]


def products(
    model: PreTrainedModel,
    responses: Sequence[Response],
    coefficient_KN: torch.Tensor,
    micro_batch: int,
    share_prompts: bool = False,
    along: Vector | None = None,
    report: Callable[[int], None] = lambda done: None,
    processes: int = 1,
) -> Products:
    """Of g_k = grad sum_t c_kt log pi(y_t) for each row c_k of `coefficient_KN`; those of `pulls`, to the last bit.

    As many rows share a forward pass as gradients are held at once.  `processes` share the micro-batches of all rows
    and change nothing.  `report` is told how many rows are done.
    """
    wanted, count = trained(model), len(coefficient_KN)
    few = min(held_at_once(model), count)
    every = [padded for padded, _ in batches(responses, micro_batch, share_prompts)]
    pulling_KB = torch.stack([coefficient_KN[:, padded.token_N].ne(0).any(1) for padded in every], 1)
    pieces = [
        (first, b)
        for first in range(0, count, few)
        for b in range(len(every))
        if bool(pulling_KB[first : first + few, b].any())
    ]
    # Sum j is gradient j's, then gradient few + j's, and so on; what has been added to it before each micro-batch.
    before, added = dict[tuple[int, int], int](), [0] * few
    for first, b in pieces:
        for j in pulling_KB[first : first + few, b].nonzero()[:, 0].tolist():
            before[first + j, b] = added[j]
            added[j] += 1
    last_K = [max(row.nonzero()[:, 0].tolist(), default=-1) for row in pulling_KB]
    sums = [[zeros_for(processes, parameter, torch.float64) for parameter in wanted] for _ in range(few)]
    own_KP, along_KP = (zeros_for(processes, torch.zeros(count, len(wanted)).double()) for _ in range(2))
    turns = Turns(few, len(wanted)) if processes > 1 else None

    @contextlib.contextmanager
    def turn(k: int, b: int, i: int) -> Iterator[None]:
        with turns.of(k % few, before[k, b], i) if turns else contextlib.nullcontext():
            yield
            if b == last_K[k]:
                part = sums[k % few][i]
                own_KP[k, i] = inner(part, part)
                if along is not None:
                    along_KP[k, i] = inner(part, along[i])
                part.zero_()

    def of_piece(piece: tuple[int, int]) -> int:
        first, b = piece
        for j, objective, more in objectives(model, every[b], coefficient_KN[first : first + few]):
            add = functools.partial(turn, first + j, b)
            add_gradient(objective, wanted, sums[j], add, retain_graph=more)
        return first

    for first in side_by_side(of_piece, pieces, processes):
        report(first)
    report(count)
    return Products(*([sum(row) for row in found_KP.tolist()] for found_KP in (own_KP, along_KP)))
