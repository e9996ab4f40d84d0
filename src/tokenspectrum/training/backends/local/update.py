"""One mini-batch: its loss, its gradient by micro-batches, and the optimiser's step.

Knows a model, tokens, advantages and weights.  Does not know where the weights come from, nor what is logged.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from tokenspectrum.errors import UserError
from tokenspectrum.systems.shared_memory import zeros_for
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.training.backends.local.logprobs import response_logprobs
from tokenspectrum.training.backends.local.padded import padded_batches
from tokenspectrum.training.backends.local.sums import Turns, add_gradient, no_turns
from tokenspectrum.training.batch import response_lengths
from tokenspectrum.training.dapo import Clip, clipped_loss, importance_ratio, token_denominator, weighted_loss
from tokenspectrum.training.record import MiniBatch


def gradient_sums(model: PreTrainedModel, processes: int) -> list[torch.Tensor]:
    """Zeros for a gradient of `model`, which `processes` can add to."""
    return [zeros_for(processes, parameter) for parameter in model.parameters()]


@dataclass(frozen=True)
class Terms:
    """The parts of the loss at the update: D, sum w rho l / D, and every token's ratio and clipped term."""

    total: float
    loss: float
    ratio_N: torch.Tensor
    loss_N: torch.Tensor


def accumulate_gradient(
    model: PreTrainedModel,
    batch: MiniBatch,
    clip: Clip,
    micro_batch: int,
    share_prompts: bool = False,
    processes: int = 1,
    sums: Sequence[torch.Tensor] | None = None,
) -> Terms:
    """Leave the gradient of sum_t w_t rho_t l_t / D in the parameters' `.grad`, for any size of micro-batches.

    Micro-batches hold at most `micro_batch` responses, and their losses add up to the mini-batch's.  If D = 0, the
    gradient is zero.  `processes` share the micro-batches and change nothing.  `sums`, of `gradient_sums`, are the
    memory to use, so that a training need not ask for it at every step.
    """
    lengths_R = response_lengths(batch.responses)
    total = token_denominator(batch.weight_N, batch.denominator)
    ratio_N, loss_N = torch.empty_like(batch.old_logprob_N), torch.empty_like(batch.old_logprob_N)
    parameters = list(model.parameters())
    model.zero_grad()
    sums = gradient_sums(model, processes) if sums is None else sums
    # If w A is 0 for every token of a response, it adds exactly 0 to the gradient.  Only the log needs its ratios.
    owner_N = torch.arange(len(lengths_R)).repeat_interleave(lengths_R)
    pulls_R = torch.zeros(len(lengths_R)).index_add(0, owner_N, (batch.weight_N * batch.advantage_N).abs()) != 0
    pulls_R &= total > 0
    learning, other = (
        list(padded_batches(batch.responses, (pulls_R == learns).nonzero()[:, 0], micro_batch, share_prompts))
        for learns in (True, False)
    )
    every = learning + other
    if not learning:
        for part in sums:
            part.zero_()
    turns = Turns(1, len(parameters)) if processes > 1 else None

    def of_batch(b: int) -> tuple[np.ndarray, np.ndarray]:
        padded, learns = every[b], b < len(learning)
        at_N = padded.token_N
        old_logprob_N, advantage_N = batch.old_logprob_N[at_N], batch.advantage_N[at_N]
        with torch.set_grad_enabled(learns):
            logprob_N = response_logprobs(model, padded)
            term_N = clipped_loss(logprob_N, old_logprob_N, advantage_N, clip)
        if learns:
            turn = functools.partial(turns.of, 0, b) if turns else no_turns
            add_gradient(weighted_loss(term_N, batch.factor_N[at_N], total), parameters, sums, turn, first=b == 0)
        return importance_ratio(logprob_N.detach(), old_logprob_N).numpy(), term_N.detach().numpy()

    for padded, (ratio_n, loss_n) in zip(every, side_by_side(of_batch, range(len(every)), processes), strict=True):
        ratio_N[padded.token_N], loss_N[padded.token_N] = torch.from_numpy(ratio_n), torch.from_numpy(loss_n)
    # Zeros and not None where nothing learns: with a zero gradient a step still moves by its momentum.
    for parameter, gradient in zip(parameters, sums, strict=True):
        parameter.grad = gradient
    loss = float((batch.factor_N.double() * loss_N.double()).sum()) / total if total else 0.0
    return Terms(total, loss, ratio_N, loss_N)


def take_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, terms: Terms, grad_clip: float) -> float | None:
    """Clip the gradient and take a step.  Returns the norm before clipping, or None if D = 0 and no step is taken.

    Raises UserError without a step if the loss or the gradient is not finite.
    """
    if terms.total == 0:
        return None
    if not torch.isfinite(terms.loss_N).all():
        raise UserError(f"the loss is {terms.loss}: lower train.learning_rate")
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip))
    if norm != norm or norm == float("inf"):
        raise UserError(f"the gradient's norm is {norm}: lower train.learning_rate")
    optimizer.step()
    return norm
