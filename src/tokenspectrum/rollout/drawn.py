"""Draw the base policy's probe in shards, each a table `drawn`, and put the shards together again.

Knows an engine, responses and that table.  Knows no rewards.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.engine import RolloutEngine, check_groups
from tokenspectrum.rollout.make import generate_side_by_side
from tokenspectrum.rollout.parts import Codec, Place, in_parts
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.systems.progress import Progress
from tokenspectrum.tables.drawn import SCHEMA
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.tokenlog.writer import as_table


def draw(
    engine: RolloutEngine,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    seed: int,
    chunk: int,
    place: Place,
    facts: Mapping[str, Any],
    processes: int = 1,
) -> list[Response]:
    """`sampling.n` responses a prompt, prompt-major; `chunk` prompts go to the engine at once.

    `processes` sample side by side and change nothing.  Responses are kept at `place` as they are drawn.  `facts` says
    with which policy and in which precision.
    """

    def make(items: list[int]) -> list[list[Response]]:
        asked = [prompts[i] for i in items]
        answers = generate_side_by_side(engine, asked, sampling, seed, chunk=chunk, processes=processes)
        check_groups(answers, asked, sampling.n)
        progress.count(sum(len(answer.token_ids) for answer in answers))
        return [answers[first : first + sampling.n] for first in range(0, len(answers), sampling.n)]

    decided = {
        **facts,
        "sampling": asdict(sampling),
        "seed": seed,
        "prompts": [[prompt.prompt_id, prompt.token_ids] for prompt in prompts],
    }
    with Progress("sample", total=len(prompts), begun=lambda: place.kept) as progress:
        groups = in_parts(
            place, decided, range(len(prompts)), chunk * processes, make, _codec(prompts), progress.update
        )
    answers = list(itertools.chain.from_iterable(groups))
    check_groups(answers, prompts, sampling.n)
    return answers


def _codec(prompts: Sequence[Prompt]) -> Codec[list[Response]]:
    """A part's responses are kept as rows of the table `drawn`."""
    by_id = {prompt.prompt_id: prompt for prompt in prompts}

    def pack(groups: list[list[Response]]) -> bytes:
        table = as_table(SCHEMA, drawn_columns(list(itertools.chain.from_iterable(groups))))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return sink.getvalue().to_pybytes()

    def unpack(payload: bytes) -> list[list[Response]]:
        rows = pa.ipc.open_stream(payload).read_all().to_pylist()
        groups = itertools.groupby(rows, lambda row: row["prompt_id"])
        return [[_response(row, by_id[prompt_id].token_ids) for row in group] for prompt_id, group in groups]

    return Codec(pack, unpack)


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
            by_prompt[prompt_id].append(_response(row, seen[prompt_id]))
    answers = [answer for group in by_prompt.values() for answer in sorted(group, key=lambda answer: answer.sample)]
    check_groups(answers, prompts, n)
    return answers


def _response(row: Mapping[str, Any], prompt_token_ids: tuple[int, ...]) -> Response:
    return Response(
        prompt_id=row["prompt_id"],
        sample=row["sample"],
        prompt_token_ids=prompt_token_ids,
        token_ids=tuple(row["token_ids"]),
        logprobs=tuple(row["rollout_logprobs"]),
        finish_reason=row["finish_reason"],
    )
