"""Stage `sample`: the base policy answers one shard of the probe.

Out: the table drawn, run `base`, step 0.  Knows no rewards: the stage rollouts judges all shards together.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.dtype import PolicyDtype
from tokenspectrum.params.rollouts import RolloutsParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.rollout.engine import RolloutEngine, check_groups
from tokenspectrum.rollout.make import make_engine, prompts_at_once
from tokenspectrum.rollout.probe import BASE, dealt, read_probe
from tokenspectrum.rollout.questions import encode_questions
from tokenspectrum.rollout.types import Prompt, Response, Sampling
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.progress import Progress
from tokenspectrum.tables import drawn
from tokenspectrum.tokenlog.writer import write_manifest, write_step

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "prompts": "folder of the training prompts",
        "policy": "folder of the base policy",
        "out": "folder to write the table into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    parser.add_argument("--shard", type=int, required=True, help="which of rollouts.shards")
    args = parser.parse_args(argv)
    params, sampling, systems, dtype = read_sections(
        rollouts=RolloutsParams, sampling=SamplingParams, systems=SystemsParams, **{"train.dtype": PolicyDtype}
    )
    if args.shard not in params.shards:
        raise UserError(f"--shard {args.shard}: rollouts.shards has {', '.join(map(str, params.shards))}")
    questions = dealt(read_probe(args.prompts, params), args.shard, len(params.shards))
    longest = sampling.max_prompt_tokens + sampling.max_response_tokens
    how = {"dtype": dtype.root, "max_tokens": longest}
    with make_engine(params.engine, args.policy, systems, **how) as (engine, tokenizer):
        prompts = encode_questions(questions, tokenizer, sampling.max_prompt_tokens)
        cut = sum(prompt.n_dropped > 0 for prompt in prompts)
        log.info("%d prompts, %d of them cut on the left to %d tokens", len(prompts), cut, sampling.max_prompt_tokens)
        answers = generate(engine, prompts, sampling, params.seed, prompts_at_once(params.engine, systems, sampling.n))
    write_step(args.out, "drawn", drawn.SCHEMA, drawn_columns(answers), run=BASE, seed=params.seed, step=0)
    write_manifest(args.out)


def generate(
    engine: RolloutEngine, prompts: Sequence[Prompt], sampling: SamplingParams, seed: int, chunk: int
) -> list[Response]:
    """`sampling.n` responses a prompt, prompt-major; `chunk` prompts go to the engine at once."""
    how = Sampling(sampling.temperature, sampling.top_p, sampling.max_response_tokens, sampling.n)
    answers: list[Response] = []
    with Progress("sample", total=len(prompts)) as progress:
        for first in range(0, len(prompts), chunk):
            answers += engine.generate(prompts[first : first + chunk], how, seed, 0)
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


if __name__ == "__main__":
    run(main)
