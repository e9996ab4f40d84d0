"""Gradients of sums over tokens, and the inner products of one token's gradient with them.  All are exact.

    pull(c)   = sum_t c_t grad log pi(y_t)            one backward pass
    dots(v)_t = <grad log pi(y_t), v>                 for every token t at once

The second is J v, where row t of J is the gradient of token t.  It is taken by two reverse passes: G(u) = J^T u is
linear in u, so J v is the gradient of <G(u), v> with respect to u.  Nothing is sampled and nothing is approximated.

Knows a model and responses.  Knows no reward, no rule and no table.

Legend: N response tokens of all responses in order, K directions.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from tokenspectrum.rollout.types import Response
from tokenspectrum.training.backends.local.logprobs import response_logprobs
from tokenspectrum.training.backends.local.padded import Padded, collate, micro_batches
from tokenspectrum.training.batch import response_lengths

Vector = list[torch.Tensor]
"""A tensor for each trained parameter, in the model's order."""


def trained(model: PreTrainedModel) -> list[torch.nn.Parameter]:
    """The parameters that a step changes, in the model's order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def dot(a: Vector, b: Vector) -> float:
    """Inner product, summed in float64."""
    return float(sum((x.double() * y.double()).sum() for x, y in zip(a, b, strict=True)))


# Bytes of gradients that are held at once, beside the two of the update itself.
HELD = 2**28


def at_once(model: PreTrainedModel) -> int:
    """How many gradients in float64 are taken in one pass: many of a small policy, one of a large one."""
    return max(1, HELD // (8 * sum(parameter.numel() for parameter in trained(model))))


def pulls(
    model: PreTrainedModel,
    responses: Sequence[Response],
    coefficient_KN: torch.Tensor,
    micro_batch: int,
    report: Callable[[int], None] = lambda done: None,
) -> list[Vector]:
    """K gradients: of sum_t c_t log pi(y_t) for each row c of `coefficient_KN`.

    All rows share a forward pass.  A micro-batch where a row is zero costs that row nothing.  Sums over micro-batches
    are kept in float64.  `micro_batch` changes results by float noise only.
    """
    wanted, totals = trained(model), []
    for _ in coefficient_KN:
        totals.append([torch.zeros_like(parameter, dtype=torch.float64) for parameter in wanted])
    for padded, done in _batches(responses, micro_batch):
        part_KN = coefficient_KN[:, padded.token_N].to(model.device)
        rows = [k for k, part_N in enumerate(part_KN) if bool(part_N.any())]
        if rows:
            logprob_N = response_logprobs(model, padded)
        for k in rows:
            found = torch.autograd.grad((part_KN[k] * logprob_N).sum(), wanted, retain_graph=k != rows[-1])
            for total, part in zip(totals[k], found, strict=True):
                total += part
        report(done)
    return totals


def dots(
    model: PreTrainedModel,
    responses: Sequence[Response],
    directions: Sequence[Vector],
    micro_batch: int,
    report: Callable[[int], None] = lambda done: None,
) -> torch.Tensor:
    """float64 (K, N): <grad log pi(y_t), v> for every token t and each of K directions v."""
    n_tokens = int(response_lengths(responses).sum())
    found_KN = torch.zeros(len(directions), n_tokens, dtype=torch.float64)
    wanted = trained(model)
    for padded, done in _batches(responses, micro_batch):
        with _twice_differentiable():
            logprob_N = response_logprobs(model, padded)
            u_N = torch.zeros_like(logprob_N, requires_grad=True)
            gradient = torch.autograd.grad((u_N * logprob_N).sum(), wanted, create_graph=True)
            for k, direction in enumerate(directions):
                products = [(g * v.to(g.dtype)).sum() for g, v in zip(gradient, direction, strict=True)]
                along = torch.stack(products).sum()
                (value_N,) = torch.autograd.grad(along, u_N, retain_graph=k + 1 < len(directions))
                found_KN[k, padded.token_N] = value_N.double().cpu()
        report(done)
    return found_KN


def _batches(responses: Sequence[Response], size: int) -> Iterator[tuple[Padded, int]]:
    """Every micro-batch, and how many responses are done with it."""
    lengths_R, done = response_lengths(responses), 0
    for rows in micro_batches(torch.arange(len(responses)), responses, size):
        done += len(rows)
        yield collate(responses, rows, lengths_R), done


@contextlib.contextmanager
def _twice_differentiable() -> Iterator[None]:
    """Attention by plain operations: fused kernels have no second derivative, and leave it out without a word."""
    with sdpa_kernel(SDPBackend.MATH):
        yield
