"""Responses that were sampled elsewhere, in a file: as prompts and as responses.

The file is a dep of the stages that read it (params/files.py).  Knows the table `given`.  Knows no
trainer whose dump it was, no policy and no reward: the sample stage reads it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.rollouts import GivenParams
from tokenspectrum.rollout.engine import check_groups
from tokenspectrum.rollout.questions import Question
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.tables.given import SCHEMA
from tokenspectrum.tokenlog.reader import read_file

Rows = Mapping[str, Sequence[Mapping[str, Any]]]  # prompt_id -> its responses by sample


def read_given(given: GivenParams) -> Rows:
    """The file's responses.  UserError if it is missing or damaged."""
    path = Path(given.path)
    if not path.is_file():
        raise UserError(f"rollouts.given.path: {path}: no such file; run `spectrum import` again")
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in read_file(path, SCHEMA).to_pylist():
        rows.setdefault(row["prompt_id"], []).append(row)
    return {prompt_id: sorted(group, key=lambda row: row["sample"]) for prompt_id, group in rows.items()}


def given_prompts(rows: Rows, questions: Sequence[Question], max_tokens: int) -> list[Prompt]:
    """The questions as the policy saw them there, cut on the left to `max_tokens`."""
    prompts = []
    for question in questions:
        if question.prompt_id not in rows:
            raise UserError(f"prompt {question.prompt_id}: no response to it is in rollouts.given; import both again")
        ids = rows[question.prompt_id][0]["prompt_token_ids"]
        dropped = max(0, len(ids) - max_tokens)
        prompts.append(Prompt(question.prompt_id, tuple(ids[dropped:]), dropped))
    return prompts


def given_answers(rows: Rows, prompts: Sequence[Prompt], sampling: Sampling, vocabulary: int) -> list[Response]:
    """The first `sampling.n` responses to each prompt.  UserError for too few, and for a token the policy lacks."""
    answers = [
        given_response(row, prompt, sampling.max_tokens)
        for prompt in prompts
        for row in rows[prompt.prompt_id][: sampling.n]
    ]
    check_groups(answers, prompts, sampling.n)
    for answer in answers:
        if (worst := max((*answer.prompt_token_ids, *answer.token_ids))) >= vocabulary:
            raise UserError(
                f"prompt {answer.prompt_id}: token {worst}, but the policy has {vocabulary}; import with the policy "
                "that sampled it"
            )
    return answers


def given_response(row: Mapping[str, Any], prompt: Prompt, max_tokens: int) -> Response:
    """The response in a row, cut off at `max_tokens`.  Unknown log-probabilities are NaN."""
    ids = tuple(row["token_ids"][:max_tokens])
    logprobs = (float("nan"),) * len(ids) if row["logprobs"] is None else tuple(row["logprobs"][:max_tokens])
    reason = "stop" if row["finish_reason"] == "stop" and len(ids) == len(row["token_ids"]) else "length"
    return Response(prompt.prompt_id, row["sample"], prompt.token_ids, ids, logprobs, reason)
