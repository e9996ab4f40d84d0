"""One training step: rollouts, rewards, advantages, scores, weights, and one update a mini-batch.

Knows the order of things and the shared types.  Knows no files, no checkpoints and no other step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.chosen import chosen_responses, chosen_tokens
from tokenspectrum.rollout.engine import RolloutEngine, check_groups
from tokenspectrum.rollout.questions import Question
from tokenspectrum.rollout.score import Scores, check_not_inert, longest_context, score_responses
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.training.batch import assign_minibatches, flat_tokens, response_lengths
from tokenspectrum.training.dapo import Clip, surrogate, token_denominator
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.judged import Judged, judge
from tokenspectrum.training.update import MiniBatch, accumulate_gradient, take_step
from tokenspectrum.weighting.apply import Weights, apply, needs_current
from tokenspectrum.weighting.batch import TokenBatch


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


@dataclass(frozen=True)
class Rollouts:
    """A rollout batch, prompt-major: R judged responses, their lengths, and the mini-batch that trains on each."""

    judged: Judged
    lengths_R: torch.Tensor
    minibatch_R: torch.Tensor

    @property
    def responses(self) -> Sequence[Response]:
        return self.judged.responses


@dataclass(frozen=True)
class Update:
    """What became of a mini-batch: S_m before its update, its loss, its gradient's norm (None: D = 0, no step)."""

    s_m: float
    loss: float
    grad_norm: float | None


@dataclass(frozen=True)
class RowSample:
    """Statistics that need the whole attention row, of some responses: `response_ids`, ascending.

    scores   of those responses alone, in that order;  tokens (index into response_ids, position) of the rows in it
    """

    response_ids: Sequence[int]
    responses: Sequence[Response]
    scores: Scores
    tokens: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class StepRecord:
    """All that a step leaves to be logged.  _N: every response token of the rollout batch, in order."""

    step: int
    lr: float
    rollouts: Rollouts
    scores: Scores
    row_sample: RowSample | None
    weight_N: torch.Tensor
    ratio_N: torch.Tensor
    loss_N: torch.Tensor
    updates: tuple[Update, ...]
    score_at_cut: float | None


def run_step(trainer: Trainer, step: int, questions: Sequence[Question], prompts: Sequence[Prompt]) -> StepRecord:
    """Train on the responses to `prompts` as step `step` (from 1).  Raises UserError, naming the step, on a NaN."""
    job = trainer.job
    rollouts = collect(trainer, step, questions, prompts)
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
    whole = None if needs_current(job.rule) else weigh(trainer, step, rollouts, everything, scores)
    updates, cuts = [], []
    trainer.model.train()
    for m in range(job.train.mini_batches):
        rows = (rollouts.minibatch_R == m).nonzero()[:, 0]
        at_N = flat_tokens(rows, rollouts.lengths_R)
        responses = [rollouts.responses[r] for r in rows.tolist()]
        if whole is None:
            layers = () if job.rule.layer is None else (job.rule.layer,)
            weights = weigh(trainer, step, rollouts, rows, score(trainer, responses, layers))
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


def collect(trainer: Trainer, step: int, questions: Sequence[Question], prompts: Sequence[Prompt]) -> Rollouts:
    """Sample, judge and compare: n responses a prompt, and the mini-batches that will train on them."""
    job, limit = trainer.job, trainer.job.sampling.max_response_tokens
    sampling = Sampling(job.sampling.temperature, job.sampling.top_p, limit, job.sampling.n)
    responses = trainer.engine.generate(prompts, sampling, job.seed, step)
    check_groups(responses, prompts, sampling.n)
    ids = [prompt.prompt_id for prompt in prompts]
    return Rollouts(
        judged=judge(questions, responses, trainer.tokenizer, job.reward, limit),
        lengths_R=response_lengths(responses),
        minibatch_R=assign_minibatches(ids, sampling.n, job.train.mini_batches, job.seed, step),
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


def weigh(trainer: Trainer, step: int, rollouts: Rollouts, rows: torch.Tensor, scores: Scores) -> Weights:
    """The rule's weights on the tokens of the responses `rows`, whose scores `scores` are."""
    rule = trainer.job.rule
    named = {"predictive_entropy": scores.predictive_entropy_N}
    if rule.layer is not None:
        attention = scores.attention[rule.layer]
        named |= {"entropy_norm": attention.entropy_norm_N, "entropy_raw": attention.entropy_raw_N}
    responses = [rollouts.responses[r] for r in rows.tolist()]
    batch = TokenBatch(
        lengths_R=rollouts.lengths_R[rows],
        seed=trainer.job.seed,
        step=step,
        prompt_ids=[response.prompt_id for response in responses],
        samples_R=torch.tensor([response.sample for response in responses], dtype=torch.int64),
        minibatch_R=rollouts.minibatch_R[rows],
        scores=named,
    )
    return apply(rule, batch)


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
