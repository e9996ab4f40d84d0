"""One training step on verl: scores, weights, and one update a mini-batch.  Its record is the local trainer's.

Knows the order of things.  Knows no files and no checkpoints.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from tokenspectrum.errors import UserError
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.rollout.chosen import chosen_responses, chosen_tokens
from tokenspectrum.rollout.score import check_not_inert, longest_context
from tokenspectrum.training.batch import flat_tokens
from tokenspectrum.training.dapo import surrogate, token_denominator
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import Rollouts, RowSample, StepRecord, Update
from tokenspectrum.training.step import learning_rate
from tokenspectrum.training.update import MiniBatch
from tokenspectrum.training.verl.request import AttentionRequest, UpdateRequest
from tokenspectrum.training.verl.trainer import VerlTrainer
from tokenspectrum.training.weigh import weigh
from tokenspectrum.weighting.apply import needs_current


def logged_layers(job: TrainJob, n_layers: int) -> tuple[int, ...]:
    """The layers whose attention the token log holds; one that the policy lacks, the rule's too, is a UserError."""
    own = () if job.rule.layer is None else (resolve_layer(job.rule.layer, n_layers),)
    wanted = [own if layer == "rule" else (resolve_layer(layer, n_layers),) for layer in job.train.token_log.layers]
    return tuple(dict.fromkeys(layer for layers in wanted for layer in layers))


def run_step(
    trainer: VerlTrainer,
    job: TrainJob,
    layers: tuple[int, ...],
    step: int,
    rollouts: Rollouts,
    beat: Callable[[], None] = lambda: None,
) -> StepRecord:
    """Train on `rollouts` as step `step` (from 1), logging `layers`; `beat` is called as each phase ends.

    Raises UserError, naming the step, where the policy or an update is no longer finite.
    """
    own = () if job.rule.layer is None else (job.rule.layer,)
    scored = tuple(dict.fromkeys((*layers, *own)))
    try:
        scores = trainer.score(rollouts.responses, _request(job, scored))
        row_sample = _sample_rows(trainer, job, layers, step, rollouts)
        beat()
        lr = learning_rate(job.train.learning_rate, job.train.warmup_steps, step)
        clip = UpdateRequest(lr, 1 - job.train.clip.low, 1 + job.train.clip.high)
        weight_N = torch.zeros(len(scores.logprob_N))
        everything = torch.arange(len(rollouts.responses))
        whole = None if needs_current(job.rule) else weigh(job, step, rollouts, everything, scores, scores.logprob_N)
        updates, cuts, outside = [], [], 0
        for m in range(job.train.mini_batches):
            rows = (rollouts.minibatch_R == m).nonzero()[:, 0]
            at_N = flat_tokens(rows, rollouts.lengths_R)
            responses = [rollouts.responses[r] for r in rows.tolist()]
            old_logprob_N = scores.logprob_N[at_N]
            if whole is None:
                current = trainer.score(responses, _request(job, own))
                if all(update.grad_norm is None for update in updates):
                    # Still the old policy: its log-probabilities must be the same numbers (see weigh).
                    current = replace(current, logprob_N=old_logprob_N)
                weights = weigh(job, step, rollouts, rows, current, old_logprob_N)
                weight_N[at_N] = weights.weight_N
            else:
                weights = whole
                weight_N[at_N] = whole.weight_N[at_N]
            cuts.append(weights.score_at_cut)
            batch = MiniBatch(
                responses=responses,
                old_logprob_N=old_logprob_N,
                advantage_N=rollouts.judged.advantage_R[rows].repeat_interleave(rollouts.lengths_R[rows]),
                weight_N=weight_N[at_N],
                denominator=job.rule.denominator,
            )
            total = token_denominator(batch.weight_N, batch.denominator)
            s_m = surrogate(batch.weight_N, batch.advantage_N, total)
            done = trainer.update(batch, clip)
            updates.append(Update(s_m, done.loss, done.grad_norm) if done else Update(s_m, 0.0, None))
            outside += done.outside if done else 0
            beat()
    except UserError as e:
        raise UserError(f"step {step}: {e}; the last checkpoint is kept in {job.checkpoints}") from None
    return StepRecord(
        step=step,
        lr=lr,
        rollouts=rollouts,
        scores=scores,
        row_sample=row_sample,
        weight_N=weight_N,
        ratio_N=None,
        loss_N=None,
        updates=tuple(updates),
        score_at_cut=None if None in cuts else sum(cuts) / len(cuts),
        clip_fraction=outside / len(weight_N),
    )


def _request(job: TrainJob, layers: tuple[int, ...]) -> AttentionRequest | None:
    if not layers:
        return None
    return AttentionRequest(layers, job.rule.alignment or "decision", job.train.token_log.local_window)


def _sample_rows(
    trainer: VerlTrainer, job: TrainJob, layers: tuple[int, ...], step: int, rollouts: Rollouts
) -> RowSample | None:
    """The statistics that need whole rows, where token_log asks for them on this step."""
    asked, responses = job.train.token_log.row_stats, rollouts.responses
    if asked is None or not layers or (step - 1) % asked.every:
        return None
    plain = _request(job, layers)
    check_not_inert(
        longest_context(responses, plain.alignment), asked.top_k, asked.fixed_k, "train.token_log.row_stats"
    )
    response_ids = chosen_responses(responses, asked.responses, job.seed, step)
    chosen = [responses[r] for r in response_ids]
    tokens = chosen_tokens(chosen, asked.rows, job.seed, step)
    request = replace(plain, top_k=asked.top_k, fixed_k=asked.fixed_k, support=True)
    return RowSample(response_ids, chosen, trainer.score(chosen, request, tokens), tokens)
