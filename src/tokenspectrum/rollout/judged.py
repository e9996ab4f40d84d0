"""A rollout batch with its rewards and advantages.  The rollouts stage and every trainer compute and log it like this.

Knows responses and questions.  Knows no engine, no policy and no loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from tokenspectrum.params.reward import RewardParams
from tokenspectrum.policy.text import response_texts
from tokenspectrum.reward.rewarded import Rewarded, reward_response
from tokenspectrum.rollout.advantage import group_advantages
from tokenspectrum.rollout.questions import Question
from tokenspectrum.rollout.types import Response


@dataclass(frozen=True)
class Judged:
    """R responses, prompt-major, with their texts, rewards and advantages (float32, before any weight)."""

    responses: Sequence[Response]
    texts: Sequence[str]
    rewarded: Sequence[Rewarded]
    advantage_R: torch.Tensor


# A function of questions and equally many responses to each, prompt-major.  It returns the reward of each response.
Reward = Callable[[Sequence[Question], Sequence[Response]], Sequence[Rewarded]]


def judge(
    questions: Sequence[Question],
    responses: Sequence[Response],
    tokenizer: PreTrainedTokenizerBase,
    reward: RewardParams,
    limit: int,
    elsewhere: Reward | None = None,
) -> Judged:
    """Judge the responses to `questions`, equally many to each, and compare them within their question's group.

    `limit` is the longest response allowed, from which the overlong penalty is measured.  `elsewhere`, if given,
    computes the rewards: in other processes, or out of a file.
    """
    n = len(responses) // len(questions)
    texts = response_texts(tokenizer, [response.token_ids for response in responses])
    if elsewhere is not None:
        rewarded = list(elsewhere(questions, responses))
    else:
        rewarded = []
        for i, (text, response) in enumerate(zip(texts, responses, strict=True)):
            gold, source = questions[i // n].ground_truth, questions[i // n].data_source
            rewarded.append(reward_response(text, len(response.token_ids), gold, source, reward, limit))
    rewards_R = torch.tensor([s.reward for s in rewarded], dtype=torch.float64)
    group_R = torch.arange(len(questions)).repeat_interleave(n)
    # A single response, which only a file gives, has nothing to be compared with.
    advantage_R = torch.zeros(len(responses)) if n == 1 else group_advantages(rewards_R, group_R)
    return Judged(responses, texts, rewarded, advantage_R)


def response_columns(judged: Judged) -> dict[str, Any]:
    """Columns of the table `responses`."""
    given, rewarded = judged.responses, judged.rewarded
    return {
        "response_id": np.arange(len(given), dtype=np.int32),
        "prompt_id": [response.prompt_id for response in given],
        "sample": [response.sample for response in given],
        "text": list(judged.texts),
        "n_prompt": [len(response.prompt_token_ids) for response in given],
        "n_tokens": [len(response.token_ids) for response in given],
        "finish_reason": [response.finish_reason for response in given],
        "answer": [s.answer for s in rewarded],
        "reward": [s.reward for s in rewarded],
        "reward_raw": [s.reward_raw for s in rewarded],
        "correct": [s.correct for s in rewarded],
        "advantage": judged.advantage_R.numpy(),
    }
