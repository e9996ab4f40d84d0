"""Our reward as verl's reward manager: verl finds the number that `judge` finds.

verl runs it in reward workers of its own, off the main thread.  The verifier needs no signals, and no state but
caches: it compares strings, and hands a task of reasoning-gym to that library's scorer with a copy of the task.
Knows verl's batch fields.  Knows no trainer.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from tokenspectrum.params.reward import RewardParams
from tokenspectrum.policy.text import response_texts
from tokenspectrum.reward.rewarded import Rewarded, reward_response
from tokenspectrum.rollout.questions import Question
from tokenspectrum.rollout.types import Response
from tokenspectrum.training.backends.verl.internals import DataProto, RewardManagerBase


class BoxedRewardManager(RewardManagerBase):
    """Strict boxed answers and the overlong penalty; loaded by its path, see `reward_config`."""

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any, **_: Any) -> None:
        super().__init__(config, tokenizer, compute_score)
        given = config.reward.reward_kwargs
        self.params = RewardParams.model_validate_json(given.params)
        self.limit = given.limit

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Reward of the last response in `data`; what else is known of it goes into reward_extra_info."""
        item = data[-1]
        ids = item.batch["responses"]
        n_tokens = int(item.batch["attention_mask"][-len(ids) :].sum())
        rewarded = reward_response(
            response_texts(self.tokenizer, [ids[:n_tokens].tolist()])[0],
            n_tokens,
            item.non_tensor_batch["reward_model"]["ground_truth"],
            item.non_tensor_batch["data_source"],
            self.params,
            self.limit,
        )
        # verl carries the reward itself in float32.
        return {"reward_score": rewarded.reward, "reward_extra_info": {**vars(rewarded), "acc": rewarded.correct}}


def reward_config(params: RewardParams, limit: int) -> dict[str, Any]:
    """verl's keys that put the manager to work; `limit` is the longest response allowed."""
    return {
        "reward.reward_manager.source": "importlib",
        "reward.reward_manager.name": BoxedRewardManager.__name__,
        "reward.reward_manager.module.path": f"pkg://{__name__}",
        "reward.reward_kwargs": {"params": params.model_dump_json(), "limit": limit},
    }


def reward_batch(questions: Sequence[Question], responses: Sequence[Response]) -> DataProto:
    """The responses, equally many to each question, as verl's reward workers take them; padded on the right."""
    n = len(responses) // len(questions)
    asked = [questions[i // n] for i in range(len(responses))]
    width = max(len(response.token_ids) for response in responses)
    ids_RT = torch.zeros(len(responses), width, dtype=torch.int64)
    mask_RT = torch.zeros(len(responses), 1 + width, dtype=torch.int64)
    for row, response in enumerate(responses):
        length = len(response.token_ids)
        ids_RT[row, :length] = torch.tensor(response.token_ids)
        mask_RT[row, : 1 + length] = 1
    return DataProto.from_dict(
        # The reward does not look at the prompt: one column stands for it.
        tensors={
            "prompts": torch.zeros(len(responses), 1, dtype=torch.int64),
            "responses": ids_RT,
            "attention_mask": mask_RT,
        },
        non_tensors={
            "data_source": np.array([question.data_source for question in asked], dtype=object),
            "reward_model": np.array([{"ground_truth": question.ground_truth} for question in asked], dtype=object),
        },
    )


def rewards_of(answer: DataProto) -> list[Rewarded]:
    """What the reward workers said, response by response."""
    found = answer.non_tensor_batch
    columns = zip(found["answer"], found["correct"], found["reward_raw"], found["reward"], strict=True)
    return [
        Rewarded(None if answer is None else str(answer), bool(correct), float(raw), float(reward))
        for answer, correct, raw, reward in columns
    ]
