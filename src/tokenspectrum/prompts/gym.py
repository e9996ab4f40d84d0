"""Problems from reasoning-gym's generators.  Their gold names the task, so that reasoning-gym itself scores answers.

Knows no file.
"""

import json

from tokenspectrum.errors import UserError
from tokenspectrum.params.prompts import GymSource
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.reward.gold import Gold, encode_gold
from tokenspectrum.reward.gym import answer_text, entry


def make_tasks(source: GymSource, name: str) -> list[Problem]:
    """`source.size` problems in the generator's order; `name` is the dataset's, for messages.

    Raises UserError for what reasoning-gym refuses, and for a task that cannot be made.
    """
    spec = json.dumps(source.model_dump(mode="json", exclude={"kind"}), sort_keys=True)
    problems = []
    for index in range(source.size):
        try:
            made = entry(spec, index)
        except UserError as e:
            raise UserError(f"dataset {name}: {e}") from None
        task = json.dumps(json.loads(spec) | {"index": index}, sort_keys=True)
        gold = encode_gold(Gold((answer_text(made),), gym=task))
        extra = {"index": index, "generator": source.dataset}
        problems.append(
            Problem(f"reasoning_gym/{source.dataset}", made["question"].strip(), gold, extra, f"{name} {index}")
        )
    return problems
