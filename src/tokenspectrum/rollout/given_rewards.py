"""The rewards that responses earned elsewhere, in the place of the verifier's.  Knows the rows of the table `given`."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from tokenspectrum.errors import UserError
from tokenspectrum.policy.text import response_texts
from tokenspectrum.reward import boxed
from tokenspectrum.reward.rewarded import Rewarded
from tokenspectrum.rollout.given import Rows
from tokenspectrum.rollout.judged import Reward
from tokenspectrum.rollout.questions import Question
from tokenspectrum.rollout.types import Response


def given_rewards(rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Reward:
    """The rewards that the responses earned there, in the place of the verifier's.  `correct` is a reward above 0."""

    def rewards(questions: Sequence[Question], responses: Sequence[Response]) -> list[Rewarded]:
        found = []
        texts = response_texts(tokenizer, [response.token_ids for response in responses])
        for response, text in zip(responses, texts, strict=True):
            found.append(earned(rows[response.prompt_id][response.sample], text))
        return found

    return rewards


def earned(row: Mapping[str, Any], text: str) -> Rewarded:
    """What the response in a row of the file earned there; `text` is the response.  UserError if it is unknown."""
    reward = row["reward"]
    if reward is None:
        raise UserError(f"prompt {row['prompt_id']}: no reward was given; set rollouts.given.rewards to ours")
    return Rewarded(boxed.last_boxed(text), reward > 0, reward, reward)
