"""Inner products of every single token's gradient with a direction, such as the gradient of a sum.  They are exact.

    dots(v)_t = <grad log pi(y_t), v>                 for every token t at once

That is J v, where row t of J is the gradient of token t.  It is taken by two reverse passes: G(u) = J^T u is
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
from tokenspectrum.training.backends.local.pulls import Vector, batches, trained
from tokenspectrum.training.batch import response_lengths


def dots(
    model: PreTrainedModel,
    responses: Sequence[Response],
    directions: Sequence[Vector],
    micro_batch: int,
    share_prompts: bool = False,
    report: Callable[[int], None] = lambda done: None,
) -> torch.Tensor:
    """float64 (K, N): <grad log pi(y_t), v> for every token t and each of K directions v."""
    n_tokens = int(response_lengths(responses).sum())
    found_KN = torch.zeros(len(directions), n_tokens, dtype=torch.float64)
    wanted = trained(model)
    if not any(bool(part.any()) for direction in directions for part in direction):
        return found_KN
    for padded, done in batches(responses, micro_batch, share_prompts):
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


@contextlib.contextmanager
def _twice_differentiable() -> Iterator[None]:
    """Attention by plain operations: fused kernels have no second derivative, and leave it out without a word."""
    with sdpa_kernel(SDPBackend.MATH):
        yield
