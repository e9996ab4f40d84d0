"""Stage `rollouts`: the base policy answers a probe of the training prompts; rewards and group advantages.

Out: tables responses, sampled (what the engine returned) and prompt_tokens (what the policy saw), run `base`, step 0.
The weights stage resolves rules on it; no policy is trained on it.
"""

import argparse
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenspectrum.counter import stream_key
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.params.rollouts import RolloutsParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.systems import SystemsParams
from tokenspectrum.params.train import PolicyDtype
from tokenspectrum.progress import Progress
from tokenspectrum.rollout.columns import sampled_columns
from tokenspectrum.rollout.engine import RolloutEngine, check_groups
from tokenspectrum.rollout.make import make_engine, prompts_at_once
from tokenspectrum.rollout.questions import Question, encode_questions, read_questions
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.stages.entry import run
from tokenspectrum.tables import prompt_tokens, responses, sampled
from tokenspectrum.tokenlog.writer import write_manifest, write_step
from tokenspectrum.training.judged import judge, response_columns

log = logging.getLogger(__name__)
BASE = "base"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "prompts": "folder of the training prompts",
        "policy": "folder of the base policy",
        "out": "folder to write the tables into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    args = parser.parse_args(argv)
    params, sampling, reward, systems, dtype = read_sections(
        rollouts=RolloutsParams,
        sampling=SamplingParams,
        reward=RewardParams,
        systems=SystemsParams,
        **{"train.dtype": PolicyDtype},
    )
    found = itertools.chain.from_iterable(read_questions(args.prompts).values())
    questions = choose(list(found), params)
    longest = sampling.max_prompt_tokens + sampling.max_response_tokens
    how = {"dtype": dtype.root, "max_tokens": longest}
    with make_engine(params.engine, args.policy, systems, **how) as (engine, tokenizer):
        prompts = encode_questions(questions, tokenizer, sampling.max_prompt_tokens)
        cut = sum(prompt.n_dropped > 0 for prompt in prompts)
        log.info("%d prompts, %d of them cut on the left to %d tokens", len(prompts), cut, sampling.max_prompt_tokens)
        answers = generate(engine, prompts, sampling, params.seed, prompts_at_once(params.engine, systems, sampling.n))
    judged = judge(questions, answers, tokenizer, reward, sampling.max_response_tokens)
    for table, schema, columns in (
        ("responses", responses.SCHEMA, response_columns(judged)),
        ("sampled", sampled.SCHEMA, sampled_columns(answers)),
        ("prompt_tokens", prompt_tokens.SCHEMA, prompt_columns(prompts)),
    ):
        write_step(args.out, table, schema, columns, run=BASE, seed=params.seed, step=0)
    write_manifest(args.out)


def choose(questions: Sequence[Question], params: RolloutsParams) -> list[Question]:
    """The probe: the first prompts of the file, or those of the smallest hash of (seed, prompt), in that order."""
    if params.choose == "hash":
        questions = sorted(questions, key=lambda q: stream_key("probe", params.seed, 0, q.prompt_id, 0))
    return list(questions[: params.prompts])


def generate(
    engine: RolloutEngine, prompts: Sequence[Prompt], sampling: SamplingParams, seed: int, chunk: int
) -> list[Response]:
    """`sampling.n` responses a prompt, prompt-major; `chunk` prompts go to the engine at once."""
    how = Sampling(sampling.temperature, sampling.top_p, sampling.max_response_tokens, sampling.n)
    answers: list[Response] = []
    with Progress("rollouts", total=len(prompts)) as progress:
        for first in range(0, len(prompts), chunk):
            answers += engine.generate(prompts[first : first + chunk], how, seed, 0)
            progress.update(min(first + chunk, len(prompts)))
    check_groups(answers, prompts, sampling.n)
    return answers


def prompt_columns(prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Columns of the table `prompt_tokens`."""
    return {
        "prompt_id": [p.prompt_id for p in prompts],
        "token_ids": [list(p.token_ids) for p in prompts],
        "n_dropped": [p.n_dropped for p in prompts],
    }


if __name__ == "__main__":
    run(main)
