"""Gradients of sums over tokens, of the policy as it is: no clip, no optimiser.  One backward pass each.

    pull(c) = sum_t c_t grad log pi(y_t)

At ratio 1 the loss's gradient is such a sum: c_t = -w_t A_t / D.  Knows a model and responses.  Knows no rule.

Legend: N response tokens of all responses in order, K sums.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import PreTrainedModel

from tokenspectrum.rollout.types import Response
from tokenspectrum.systems.shared_memory import zeros_for
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.training.backends.local.logprobs import response_logprobs
from tokenspectrum.training.backends.local.padded import Padded, padded_batches
from tokenspectrum.training.backends.local.sums import Turns, add_gradient, no_turns

Vector = list[torch.Tensor]
"""A tensor for each trained parameter, in the model's order."""


def trained(model: PreTrainedModel) -> list[torch.nn.Parameter]:
    """The parameters that a step changes, in the model's order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def dot(a: Vector, b: Vector) -> float:
    """Inner product, summed in float64."""
    return sum(inner(x, y) for x, y in zip(a, b, strict=True))


# Values that are multiplied at once: of a large policy's embedding, a copy in float64 would be much memory.
_BLOCK = 2**20


def inner(x: torch.Tensor, y: torch.Tensor) -> float:
    """Inner product of two tensors of one shape, summed in float64."""
    blocks = zip(x.flatten().split(_BLOCK), y.flatten().split(_BLOCK), strict=True)
    return sum(float((a.double() * b.double()).sum()) for a, b in blocks)


# Bytes of gradients that are held at once, beside the two of the update itself.
HELD = 2**28


def held_at_once(model: PreTrainedModel) -> int:
    """How many gradients in float64 are taken in one pass: many of a small policy, one of a large one."""
    return max(1, HELD // (8 * sum(parameter.numel() for parameter in trained(model))))


def pulls(
    model: PreTrainedModel,
    responses: Sequence[Response],
    coefficient_KN: torch.Tensor,
    micro_batch: int,
    share_prompts: bool = False,
    report: Callable[[int], None] = lambda done: None,
    processes: int = 1,
) -> list[Vector]:
    """K gradients: of sum_t c_t log pi(y_t) for each row c of `coefficient_KN`.

    All rows share a forward pass.  A micro-batch where a row is zero costs that row nothing.  A token that is zero in
    every row costs the head nothing.  Sums over micro-batches are kept in float64.  `micro_batch` and `share_prompts`
    change results by float noise only.  `processes` share the micro-batches and change nothing.
    """
    wanted = trained(model)
    totals = [[zeros_for(processes, parameter, torch.float64) for parameter in wanted] for _ in coefficient_KN]
    every = list(batches(responses, micro_batch, share_prompts))
    pulling_BK = torch.stack([coefficient_KN[:, padded.token_N].ne(0).any(1) for padded, _ in every])
    before_BK = pulling_BK.cumsum(0) - pulling_BK.long()
    turns = Turns(len(totals), len(wanted)) if processes > 1 else None

    def of_batch(b: int) -> None:
        for k, objective, more in objectives(model, every[b][0], coefficient_KN):
            turn = functools.partial(turns.of, k, int(before_BK[b, k])) if turns else no_turns
            add_gradient(objective, wanted, totals[k], turn, retain_graph=more)

    for (_, done), _ in zip(every, side_by_side(of_batch, range(len(every)), processes), strict=True):
        report(done)
    return totals


def objectives(
    model: PreTrainedModel, padded: Padded, coefficient_KN: torch.Tensor
) -> Iterator[tuple[int, torch.Tensor, bool]]:
    """(k, sum_t c_kt log pi(y_t) over a micro-batch, whether another follows) of every row that is not zero there.

    They share a forward pass, so the graph must be kept while another follows.
    """
    part_KN = coefficient_KN[:, padded.token_N]
    rows, kept_N = part_KN.ne(0).any(1).nonzero()[:, 0].tolist(), part_KN.ne(0).any(0)
    if not rows:
        return
    part_KN = part_KN[:, kept_N].to(model.device)
    logprob_N = response_logprobs(model, padded.only(kept_N))
    for k in rows:
        yield k, (part_KN[k] * logprob_N).sum(), k != rows[-1]


def cosine_to_full(
    model: PreTrainedModel,
    responses: Sequence[Response],
    advantage_N: torch.Tensor,
    weight_N: torch.Tensor,
    micro_batch: int,
    share_prompts: bool = False,
    processes: int = 1,
) -> float | None:
    """<g_w, g> / (|g_w| |g|), with g_w = -sum_t w_t A_t grad log pi(y_t) and g the same with every weight 1.

    It is the same under both denominators.  None where one of the two is 0.
    """
    full_N = -advantage_N.double() / len(advantage_N)
    rows = torch.stack([weight_N.double() * full_N, full_N]).float()
    weighted, full = pulls(model, responses, rows, micro_batch, share_prompts, processes=processes)
    squares = dot(weighted, weighted) * dot(full, full)
    return dot(weighted, full) / math.sqrt(squares) if squares else None


def batches(responses: Sequence[Response], size: int, share_prompts: bool = False) -> Iterator[tuple[Padded, int]]:
    """Every micro-batch, and how many responses are done with it."""
    done = 0
    for padded in padded_batches(responses, torch.arange(len(responses)), size, share_prompts):
        done += padded.count
        yield padded, done
