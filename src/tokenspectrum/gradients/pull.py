"""Inner products of every single token's gradient with a direction, such as the gradient of a sum.  They are exact.

    dots(v)_t = <grad log pi(y_t), v>                 for every token t at once

That is J v, where row t of J is the gradient of token t: how fast each token's log-probability changes when the
parameters move along v.  It is carried forward beside the forward pass (forward-mode differentiation), so nothing is
kept for a backward pass.  Nothing is sampled and nothing is approximated.

Knows a model and responses.  Knows no reward, no rule and no table.

Legend: N response tokens of all responses in order, K directions.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from tokenspectrum.rollout.types import Response
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.training.backends.local.logprobs import response_logprobs
from tokenspectrum.training.backends.local.padded import Padded
from tokenspectrum.training.backends.local.pulls import Vector, batches
from tokenspectrum.training.batch import response_lengths


class _Logprobs(torch.nn.Module):
    """The log-probabilities of a micro-batch as one module, whose parameters torch.func.functional_call replaces."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, padded: Padded) -> torch.Tensor:
        return response_logprobs(self.model, padded)


def dots(
    model: PreTrainedModel,
    responses: Sequence[Response],
    directions: Sequence[Vector],
    micro_batch: int,
    share_prompts: bool = False,
    report: Callable[[int], None] = lambda done: None,
    processes: int = 1,
) -> torch.Tensor:
    """float64 (K, N): <grad log pi(y_t), v> for every token t and each of K directions v.  A zero direction is free.

    `processes` share the micro-batches.
    """
    n_tokens = int(response_lengths(responses).sum())
    found_KN = torch.zeros(len(directions), n_tokens, dtype=torch.float64)
    whole = _Logprobs(model)
    wanted = [(name, parameter) for name, parameter in whole.named_parameters() if parameter.requires_grad]
    some = [k for k, direction in enumerate(directions) if any(bool(part.any()) for part in direction)]
    if not some:
        return found_KN
    # Fused attention has no forward derivative, and leaves it out without a word.
    every = list(batches(responses, micro_batch, share_prompts))

    def of_batch(i: int) -> np.ndarray:
        found = []
        for k in some:
            with forward_ad.dual_level():
                moved = {
                    name: forward_ad.make_dual(parameter.detach(), part.to(parameter.dtype))
                    for (name, parameter), part in zip(wanted, directions[k], strict=True)
                }
                logprob_N = torch.func.functional_call(whole, moved, (every[i][0],))
                found.append(forward_ad.unpack_dual(logprob_N).tangent.double().cpu().numpy())
        return np.stack(found)

    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _padding_stays(model):
        each = side_by_side(of_batch, range(len(every)), processes)
        for (padded, done), part in zip(every, each, strict=True):
            found_KN[torch.tensor(some)[:, None], padded.token_N] = torch.from_numpy(part)
            report(done)
    return found_KN


@contextlib.contextmanager
def _padding_stays(model: PreTrainedModel) -> Iterator[None]:
    """An embedding's padding token has no gradient backward; PyTorch's forward derivative leaves that out."""

    def still(module: torch.nn.Embedding, inputs: tuple[torch.Tensor], output: torch.Tensor) -> Any:
        value, tangent = forward_ad.unpack_dual(output)
        if tangent is None or module.padding_idx is None:
            return output
        padding = inputs[0].eq(module.padding_idx)
        return forward_ad.make_dual(value, tangent.masked_fill(padding[..., None], 0.0))

    embeddings = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    hooks = [module.register_forward_hook(still) for module in embeddings]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
