"""One training step of the local trainer: scores, weights, and one update a mini-batch of its rollouts.

Knows the order of things.  Knows no files, no checkpoints and no other step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.chosen import chosen_responses, chosen_tokens
from tokenspectrum.rollout.engine import RolloutEngine
from tokenspectrum.rollout.score import Scores, check_not_inert, longest_context, score_responses
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.batch import flat_tokens
from tokenspectrum.training.dapo import Clip, surrogate, token_denominator
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import Rollouts, RowSample, StepRecord, Update
from tokenspectrum.training.update import MiniBatch, accumulate_gradient, take_step
from tokenspectrum.training.weigh import weigh
from tokenspectrum.weighting.apply import needs_current


@dataclass(frozen=True)
class Trainer:
    """What a step works with: the live policy, its optimiser, an engine that samples from it, and the layers to log."""

    job: TrainJob
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    optimizer: torch.optim.Optimizer
    engine: RolloutEngine
    logged_layers: tuple[int, ...]

    @property
    def alignment(self) -> str:
        return self.job.rule.alignment or "decision"

    @property
    def scored_layers(self) -> tuple[int, ...]:
        """The logged layers and the one that the rule reads."""
        own = () if self.job.rule.layer is None else (self.job.rule.layer,)
        return tuple(dict.fromkeys((*self.logged_layers, *own)))


def run_step(trainer: Trainer, step: int, rollouts: Rollouts) -> StepRecord:
    """Train on `rollouts` as step `step` (from 1).  Raises UserError, naming the step, on a NaN."""
    job = trainer.job
    scores = score(trainer, rollouts.responses, trainer.scored_layers)
    if not bool(scores.logprob_N.isfinite().all()):
        raise _stopped(job, f"step {step}: the policy's log-probabilities are not finite")
    row_sample = sample_rows(trainer, step, rollouts.responses)
    lr = learning_rate(job.train.learning_rate, job.train.warmup_steps, step)
    for group in trainer.optimizer.param_groups:
        group["lr"] = lr
    n_tokens = len(scores.logprob_N)
    weight_N, ratio_N, loss_N = (torch.zeros(n_tokens) for _ in range(3))
    everything = torch.arange(len(rollouts.responses))
    whole = None if needs_current(job.rule) else weigh(job, step, rollouts, everything, scores, scores.logprob_N)
    updates, cuts = [], []
    trainer.model.train()
    for m in range(job.train.mini_batches):
        rows = (rollouts.minibatch_R == m).nonzero()[:, 0]
        at_N = flat_tokens(rows, rollouts.lengths_R)
        responses = [rollouts.responses[r] for r in rows.tolist()]
        if whole is None:
            layers = () if job.rule.layer is None else (job.rule.layer,)
            current, old_logprob_N = score(trainer, responses, layers), scores.logprob_N[at_N]
            if all(update.grad_norm is None for update in updates):
                # Still the old policy: other micro-batches must not make its log-probabilities others by a rounding.
                current = replace(current, logprob_N=old_logprob_N)
            weights = weigh(job, step, rollouts, rows, current, old_logprob_N)
            weight_N[at_N] = weights.weight_N
        else:
            weights = whole
            weight_N[at_N] = whole.weight_N[at_N]
        cuts.append(weights.score_at_cut)
        batch = MiniBatch(
            responses=responses,
            old_logprob_N=scores.logprob_N[at_N],
            advantage_N=rollouts.judged.advantage_R[rows].repeat_interleave(rollouts.lengths_R[rows]),
            weight_N=weight_N[at_N],
            denominator=job.rule.denominator,
        )
        update, ratio_N[at_N], loss_N[at_N] = _update(trainer, step, m, batch)
        updates.append(update)
    trainer.model.eval()
    return StepRecord(
        step=step,
        lr=lr,
        rollouts=rollouts,
        scores=scores,
        row_sample=row_sample,
        weight_N=weight_N,
        ratio_N=ratio_N,
        loss_N=loss_N,
        updates=tuple(updates),
        score_at_cut=None if None in cuts else sum(cuts) / len(cuts),
    )


def score(trainer: Trainer, responses: Sequence[Response], layers: Sequence[int]) -> Scores:
    """Log-probability, predictive entropy and streaming attention statistics under the policy as it is now."""
    return score_responses(
        trainer.model,
        responses,
        layers=layers,
        alignment=trainer.alignment,
        local_window=trainer.job.train.token_log.local_window,
        micro_batch=trainer.job.systems.micro_batch,
    )


def sample_rows(trainer: Trainer, step: int, responses: Sequence[Response]) -> RowSample | None:
    """The statistics that need whole rows, where token_log asks for them on this step.

    Raises UserError where its top_k or fixed_k reaches the longest context: it would change nothing.
    """
    job, log = trainer.job, trainer.job.train.token_log
    asked = log.row_stats
    if asked is None or not trainer.logged_layers or (step - 1) % asked.every:
        return None
    longest = longest_context(responses, trainer.alignment)
    check_not_inert(longest, asked.top_k, asked.fixed_k, "train.token_log.row_stats")
    response_ids = chosen_responses(responses, asked.responses, job.seed, step)
    chosen = [responses[r] for r in response_ids]
    tokens = chosen_tokens(chosen, asked.rows, job.seed, step)
    scores = score_responses(
        trainer.model,
        chosen,
        layers=trainer.logged_layers,
        alignment=trainer.alignment,
        local_window=log.local_window,
        micro_batch=job.systems.micro_batch,
        top_k=asked.top_k,
        fixed_k=asked.fixed_k,
        support=True,
        rows=tokens,
    )
    return RowSample(response_ids, chosen, scores, tokens)


def learning_rate(peak: float, warmup_steps: int, step: int) -> float:
    """Linear warm-up to `peak` at step `warmup_steps` (steps count from 1), constant from there on."""
    return peak * min(1.0, step / warmup_steps) if warmup_steps else peak


def _update(trainer: Trainer, step: int, m: int, batch: MiniBatch) -> tuple[Update, torch.Tensor, torch.Tensor]:
    """One optimiser step; also the ratio and clipped term of every token at it."""
    train = trainer.job.train
    total = token_denominator(batch.weight_N, batch.denominator)
    s_m = surrogate(batch.weight_N, batch.advantage_N, total)
    clip = Clip(train.clip.low, train.clip.high, train.clip.dual)
    terms = accumulate_gradient(trainer.model, batch, clip, trainer.job.systems.micro_batch)
    try:
        norm = take_step(trainer.model, trainer.optimizer, terms, train.grad_clip)
    except UserError as e:
        raise _stopped(trainer.job, f"step {step}, mini-batch {m}: {e}") from None
    return Update(s_m, terms.loss, norm), terms.ratio_N, terms.loss_N


def _stopped(job: TrainJob, what: str) -> UserError:
    return UserError(f"{what}; the last checkpoint is kept in {job.checkpoints}; lower train.learning_rate")
