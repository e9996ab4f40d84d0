"""Draw the base policy's probe in shards, each a table `drawn`, and put the shards together again.

Knows an engine, responses and that table.  Knows no rewards.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.engine import RolloutEngine, check_groups
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.systems.progress import Progress
from tokenspectrum.tokenlog.reader import read_table


def draw(engine: RolloutEngine, prompts: Sequence[Prompt], sampling: Sampling, seed: int, chunk: int) -> list[Response]:
    """`sampling.n` responses a prompt, prompt-major; `chunk` prompts go to the engine at once."""
    answers: list[Response] = []
    with Progress("sample", total=len(prompts)) as progress:
        for first in range(0, len(prompts), chunk):
            answers += engine.generate(prompts[first : first + chunk], sampling, seed, 0)
            progress.update(min(first + chunk, len(prompts)))
    check_groups(answers, prompts, sampling.n)
    return answers


def drawn_columns(answers: Sequence[Response]) -> dict[str, Any]:
    """Columns of the table `drawn`."""
    return {
        "prompt_id": [answer.prompt_id for answer in answers],
        "sample": [answer.sample for answer in answers],
        "finish_reason": [answer.finish_reason for answer in answers],
        "token_ids": [answer.token_ids for answer in answers],
        "rollout_logprobs": [answer.logprobs for answer in answers],
    }


def read_shards(folders: Sequence[Path], prompts: Sequence[Prompt], n: int) -> list[Response]:
    """The shards' responses in the order of `prompts`, those of a prompt by sample.

    Raises UserError for a prompt that is not among `prompts`, and for one without exactly `n` responses.
    """
    by_prompt: dict[str, list[Response]] = {prompt.prompt_id: [] for prompt in prompts}
    seen = {prompt.prompt_id: prompt.token_ids for prompt in prompts}
    for folder in folders:
        for row in read_table(folder, "drawn", step=0).to_pylist():
            prompt_id = row["prompt_id"]
            if prompt_id not in seen:
                raise UserError(f"{folder}: prompt {prompt_id} is not in the probe; run the sample stage again")
            by_prompt[prompt_id].append(
                Response(
                    prompt_id=prompt_id,
                    sample=row["sample"],
                    prompt_token_ids=seen[prompt_id],
                    token_ids=tuple(row["token_ids"]),
                    logprobs=tuple(row["rollout_logprobs"]),
                    finish_reason=row["finish_reason"],
                )
            )
    answers = [answer for group in by_prompt.values() for answer in sorted(group, key=lambda answer: answer.sample)]
    check_groups(answers, prompts, n)
    return answers
