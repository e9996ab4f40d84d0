"""A step's rollout batch: which prompts are drawn, and which of their groups are trained on (DAPO's dynamic sampling).

The batch is a pure function of the step and of the policy's responses, so a checkpoint need hold nothing of it.  Knows
prompts, rewards and groups.  Knows no engine: its caller samples.
"""

from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedTokenizerBase

from tokenspectrum.rollout.judged import Judged, Reward, judge
from tokenspectrum.rollout.questions import Question
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.batch import assign_minibatches, response_lengths
from tokenspectrum.training.data import PromptOrder
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import Rollouts

# Given questions, sampling.n responses to each, prompt-major.
Generate = Callable[[Sequence[Question]], Sequence[Response]]


def collect(
    job: TrainJob,
    step: int,
    questions: Sequence[Question],
    order: PromptOrder,
    tokenizer: PreTrainedTokenizerBase,
    generate: Generate,
    reward: Reward | None = None,
) -> Rollouts:
    """Sample, judge and compare the responses that step `step` trains on, and cut them into mini-batches.

    Without dynamic sampling, this is the whole batch step - 1 of `order`.  With it, batches from
    (step - 1) * max_batches on are drawn until enough groups hold different rewards.  The first of these groups are
    taken, in the order drawn.  If max_batches are not enough, the earliest of the other groups fill the rest.
    """
    dynamic, n = job.train.dynamic_sampling, job.sampling.n
    most = dynamic.max_batches if dynamic else 1
    judged: list[Judged] = []
    mixed: list[bool] = []
    drawn: set[int] = set()
    for position in range((step - 1) * most, step * most):
        # An epoch may end among these batches.  A prompt that comes again would bring the same responses.
        fresh = [i for i in order.batch(position) if i not in drawn]
        if not fresh:
            continue
        drawn |= set(fresh)
        asked = [questions[i] for i in fresh]
        judged.append(judge(asked, generate(asked), tokenizer, job.reward, job.sampling.max_response_tokens, reward))
        mixed += different_rewards(judged[-1], n)
        if sum(mixed) >= job.train.prompts_per_step:
            break
    chosen = choose_groups(mixed, job.train.prompts_per_step)
    batch = take_groups(judged, chosen, n)
    prompt_ids = [response.prompt_id for response in batch.responses[::n]]
    return Rollouts(
        judged=batch,
        lengths_R=response_lengths(batch.responses),
        minibatch_R=assign_minibatches(prompt_ids, n, job.train.mini_batches, job.seed, step),
        generated=len(mixed),
        kept=sum(mixed[group] for group in chosen),
    )


def different_rewards(judged: Judged, n: int) -> list[bool]:
    """For each group of n responses, whether their rewards (with the overlong penalty) are not all equal."""
    rewards = [rewarded.reward for rewarded in judged.rewarded]
    return [len(set(rewards[i : i + n])) > 1 for i in range(0, len(rewards), n)]


def choose_groups(mixed: Sequence[bool], size: int) -> list[int]:
    """The first `size` mixed groups, in the order drawn.  If there are too few, the first others fill the rest."""
    by_worth = sorted(range(len(mixed)), key=lambda group: (not mixed[group], group))
    return sorted(by_worth[:size])


def take_groups(parts: Sequence[Judged], groups: Sequence[int], n: int) -> Judged:
    """The chosen groups of n responses each, counted through all parts."""
    rows = [row for group in groups for row in range(group * n, (group + 1) * n)]
    responses = [response for part in parts for response in part.responses]
    texts = [text for part in parts for text in part.texts]
    rewarded = [s for part in parts for s in part.rewarded]
    return Judged(
        responses=[responses[row] for row in rows],
        texts=[texts[row] for row in rows],
        rewarded=[rewarded[row] for row in rows],
        advantage_R=torch.cat([part.advantage_R for part in parts])[rows],
    )
