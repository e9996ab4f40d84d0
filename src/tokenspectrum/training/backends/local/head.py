"""Log-probabilities of given tokens from hidden states, for a large vocabulary: all logits are never held at once.

A block of rows has its logits, gives its log-probabilities and forgets them.  The backward pass makes them again:

    l = h W' + b,  logprob = l_y - ln sum_v exp l_v,  d logprob / d l_v = [v = y] - softmax(l)_v

That is one product with the head more than a backward pass that keeps them.  A derivative along a direction makes them
again too.  There is no second derivative.  Knows no model and no loss.

Legend: N tokens, C hidden size, V vocabulary, n rows of a block.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

# Logits of a block: 32 MiB in float32.
BLOCK = 2**23


def _blocks(hidden_NC: torch.Tensor, weight_VC: torch.Tensor) -> list[slice]:
    rows = max(1, BLOCK // len(weight_VC))
    return [slice(i, min(i + rows, len(hidden_NC))) for i in range(0, len(hidden_NC), rows)]


def _logits(hidden_nC: torch.Tensor, weight_VC: torch.Tensor, bias_V: torch.Tensor | None) -> torch.Tensor:
    return torch.nn.functional.linear(hidden_nC, weight_VC, bias_V)


class _Logprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_NC: torch.Tensor, weight_VC: torch.Tensor, bias_V: torch.Tensor | None, target_N: torch.Tensor
    ) -> torch.Tensor:
        logprob_N = torch.empty_like(hidden_NC[:, 0])
        for at in _blocks(hidden_NC, weight_VC):
            logits_nV = _logits(hidden_NC[at], weight_VC, bias_V)
            chosen_n = logits_nV.gather(1, target_N[at, None])[:, 0]
            logprob_N[at] = chosen_n - logits_nV.logsumexp(1)
        ctx.save_for_backward(hidden_NC, weight_VC, bias_V, target_N)
        ctx.save_for_forward(hidden_NC, weight_VC, bias_V, target_N)
        return logprob_N

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> torch.Tensor:
        d_hidden_NC, d_weight_VC, d_bias_V, _ = tangents
        hidden_NC, weight_VC, bias_V, target_N = ctx.saved_tensors
        change_N = torch.zeros_like(hidden_NC[:, 0])
        for at in _blocks(hidden_NC, weight_VC):
            d_logits_nV = torch.zeros((), dtype=hidden_NC.dtype, device=hidden_NC.device)
            if d_hidden_NC is not None:
                d_logits_nV = d_logits_nV + _logits(d_hidden_NC[at], weight_VC, d_bias_V)
            if d_weight_VC is not None:
                d_logits_nV = d_logits_nV + _logits(hidden_NC[at], d_weight_VC, None)
            p_nV = _logits(hidden_NC[at], weight_VC, bias_V).softmax(1)
            change_N[at] = d_logits_nV.gather(1, target_N[at, None])[:, 0] - (p_nV * d_logits_nV).sum(1)
        return change_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad_N,) = grads
        hidden_NC, weight_VC, bias_V, target_N = ctx.saved_tensors
        hidden, weight, bias = [], torch.zeros_like(weight_VC), None
        for at in _blocks(hidden_NC, weight_VC):
            pull_nV = _logits(hidden_NC[at], weight_VC, bias_V).softmax(1).neg_().mul_(grad_N[at, None])
            pull_nV.scatter_add_(1, target_N[at, None], grad_N[at, None])
            hidden.append(pull_nV @ weight_VC)
            part_VC = pull_nV.T @ hidden_NC[at]
            weight.add_(part_VC)
            if bias_V is not None:
                bias = pull_nV.sum(0) if bias is None else bias + pull_nV.sum(0)
        return torch.cat(hidden) if hidden else torch.zeros_like(hidden_NC), weight, bias, None


def blocked_logprobs(
    hidden_NC: torch.Tensor, weight_VC: torch.Tensor, bias_V: torch.Tensor | None, target_N: torch.Tensor
) -> torch.Tensor:
    """N, differentiable forward and backward: log-probability of each target at temperature 1, full vocabulary.

    hidden_NC   after the final norm, at the queries that emit the targets
    weight_VC   the head's weight; bias_V its bias, or None
    target_N    int64 token ids
    """
    return _Logprobs.apply(hidden_NC, weight_VC, bias_V, target_N)
