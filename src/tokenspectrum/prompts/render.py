"""Problems as rows of the prompts table, which verl reads as it is."""

import json
from collections.abc import Sequence
from typing import Any

from tokenspectrum.prompts.problem import Problem


def messages(problem: Problem, instruction: str) -> list[dict[str, str]]:
    """The chat that the policy sees: the problem with the instruction behind it, after its system message if any."""
    user = {"role": "user", "content": problem.text + instruction}
    system = problem.extra.get("system")
    return [user] if system is None else [{"role": "system", "content": system}, user]


def columns(problems: Sequence[Problem], split: str, instruction: str) -> dict[str, list[Any]]:
    """Columns of tables/prompts.py; `meta` holds what is in `extra` besides the row's index, as JSON."""
    extra_info = []
    for i, problem in enumerate(problems):
        meta = {key: value for key, value in problem.extra.items() if key != "index"}
        extra_info.append(
            {
                "split": split,
                "index": problem.extra.get("index", i),
                "problem": problem.text,
                "meta": json.dumps(meta, sort_keys=True),
            }
        )
    return {
        "prompt_id": [problem.prompt_id for problem in problems],
        "data_source": [problem.data_source for problem in problems],
        "prompt": [messages(problem, instruction) for problem in problems],
        "ability": ["math"] * len(problems),
        "reward_model": [{"style": "rule", "ground_truth": problem.answer} for problem in problems],
        "extra_info": extra_info,
    }
