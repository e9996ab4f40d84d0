"""One training step: statistics, weights, an update for each mini-batch of its rollouts.  The same for all trainers.

Knows the order of the work.  Knows no model, no files, no checkpoints and no other step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from tokenspectrum.errors import UserError
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.rollout.chosen import chosen_responses, chosen_tokens
from tokenspectrum.rollout.measure import check_not_inert, longest_context
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.backend import Actor
from tokenspectrum.training.batch import flat_tokens
from tokenspectrum.training.correction import correction
from tokenspectrum.training.dapo import surrogate, token_denominator
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import MiniBatch, Rollouts, RowSample, StepRecord, Update, WholeRows
from tokenspectrum.training.weigh import weigh
from tokenspectrum.weighting.rule import Memory


def run_step(
    actor: Actor,
    job: TrainJob,
    layers: Sequence[int],
    step: int,
    rollouts: Rollouts,
    beat: Callable[[], None] = lambda: None,
    memory: Memory | None = None,
) -> StepRecord:
    """Train on `rollouts` as step `step` (from 1), and log `layers`.  `beat` is called at the end of each phase.

    `memory` is what a rule that looks back knows of the steps before.

    Raises a UserError that names the step if the policy or an update is no longer finite.
    """
    try:
        return _run_step(actor, job, layers, step, rollouts, beat, memory)
    except UserError as e:
        raise UserError(f"step {step}: {e}; the last checkpoint is kept in {job.checkpoints}") from None


def _run_step(
    actor: Actor,
    job: TrainJob,
    layers: Sequence[int],
    step: int,
    rollouts: Rollouts,
    beat: Callable[[], None],
    memory: Memory | None,
) -> StepRecord:
    own = job.rule.layers
    measured = actor.measure(rollouts.responses, tuple(dict.fromkeys((*layers, *own))))
    if not bool(measured.logprob_N.isfinite().all()):
        raise UserError("the policy's log-probabilities are not finite: lower train.learning_rate")
    row_sample = sample_rows(actor, job, layers, step, rollouts.responses)
    beat()
    lr = learning_rate(job.train.learning_rate, job.train.warmup_steps, step)
    weight_N, ratio_N, loss_N = (torch.zeros(len(measured.logprob_N)) for _ in range(3))
    everything = torch.arange(len(rollouts.responses))
    rho_N, told = None, {}
    if (threshold := job.train.rollout_is_threshold) is not None:
        found = correction(measured.logprob_N, rollouts.responses, threshold)
        rho_N, told = found.rho_N, dict(found.told)
    whole = None
    if not job.rule.needs_current:
        whole = weigh(job, step, rollouts, everything, measured, measured.logprob_N, memory)
        if job.rule.probes(step):
            pull_N = rollouts.judged.advantage_R.repeat_interleave(rollouts.lengths_R)
            pull_N = pull_N if rho_N is None else pull_N * rho_N
            if (cosine := actor.cosine(rollouts.responses, pull_N, whole.weight_N)) is not None:
                told["cosine"] = cosine
            beat()
    updates, cuts, extras = [], [], []
    for m in range(job.train.mini_batches):
        rows = (rollouts.minibatch_R == m).nonzero()[:, 0]
        at_N = flat_tokens(rows, rollouts.lengths_R)
        responses, old_logprob_N = [rollouts.responses[r] for r in rows.tolist()], measured.logprob_N[at_N]
        if whole is None:
            current = actor.measure(responses, own)
            if all(update.grad_norm is None for update in updates):
                # This is still the old policy.  Rounding in other micro-batches must not change its log-probabilities.
                current = replace(current, logprob_N=old_logprob_N)
            weights = weigh(job, step, rollouts, rows, current, old_logprob_N, memory)
            weight_N[at_N] = weights.weight_N
        else:
            weights = whole
            weight_N[at_N] = whole.weight_N[at_N]
        batch = MiniBatch(
            responses=responses,
            old_logprob_N=old_logprob_N,
            advantage_N=rollouts.judged.advantage_R[rows].repeat_interleave(rollouts.lengths_R[rows]),
            weight_N=weight_N[at_N],
            denominator=job.rule.denominator,
            rho_N=None if rho_N is None else rho_N[at_N],
        )
        total = token_denominator(batch.weight_N, batch.denominator)
        s_m = surrogate(batch.factor_N, batch.advantage_N, total)
        try:
            done = actor.update(batch, lr)
        except UserError as e:
            raise UserError(f"mini-batch {m}: {e}") from None
        updates.append(Update(s_m, done.loss, done.grad_norm))
        ratio_N[at_N], loss_N[at_N] = done.ratio_N, done.loss_N
        cuts.append(weights.score_at_cut)
        extras.append(weights.extra)
        beat()
    return StepRecord(
        step=step,
        lr=lr,
        rollouts=rollouts,
        measured=measured,
        row_sample=row_sample,
        weight_N=weight_N,
        ratio_N=ratio_N,
        loss_N=loss_N,
        updates=tuple(updates),
        score_at_cut=None if None in cuts else sum(cuts) / len(cuts),
        cosine=told.get("cosine"),
        realised=(dict(extras[0]) if whole is not None else over_minibatches(extras)) | told,
    )


def over_minibatches(extras: Sequence[Mapping[str, float | str]]) -> dict[str, float | str]:
    """A rule's values where it weighs each mini-batch: means of numbers; a text is that of the first mini-batch."""

    def mean(name: str) -> float | str:
        values = [value for extra in extras if isinstance(value := extra.get(name), float)]
        return sum(values) / len(values) if values else extras[0][name]

    return {name: mean(name) for name in extras[0]}


def sample_rows(
    actor: Actor, job: TrainJob, layers: Sequence[int], step: int, responses: Sequence[Response]
) -> RowSample | None:
    """The statistics that need whole rows, if token_log asks for them in this step.

    Raises UserError if top_k or fixed_k reaches the longest context of the first step, because it would then change
    nothing.  A policy whose responses get so short later is not stopped for that: the numbers stay right.
    """
    asked = job.train.token_log.row_stats
    if asked is None or not layers or (step - 1) % asked.every:
        return None
    if step == 1:
        longest = longest_context(responses, job.alignment)
        check_not_inert(longest, asked.top_k, asked.fixed_k, "train.token_log.row_stats")
    response_ids = chosen_responses(responses, asked.responses, job.seed, step)
    chosen = [responses[r] for r in response_ids]
    tokens = chosen_tokens(chosen, asked.rows, job.seed, step)
    measured = actor.measure(chosen, layers, WholeRows(asked.top_k, asked.fixed_k, tokens))
    return RowSample(response_ids, chosen, measured, tokens)


def logged_layers(job: TrainJob, n_layers: int) -> tuple[int, ...]:
    """The layers whose attention the token log holds.  UserError if the policy lacks one of them."""
    own = tuple(resolve_layer(layer, n_layers) for layer in job.rule.layers)
    wanted = [own if layer == "rule" else (resolve_layer(layer, n_layers),) for layer in job.train.token_log.layers]
    return tuple(dict.fromkeys(layer for layers in wanted for layer in layers))


def learning_rate(peak: float, warmup_steps: int, step: int) -> float:
    """Linear warm-up to `peak` at step `warmup_steps`, and constant after it.  Steps count from 1."""
    return peak * min(1.0, step / warmup_steps) if warmup_steps else peak
