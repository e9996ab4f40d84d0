"""Stage `sample`: the base policy answers one shard of the probe.

Out: the table drawn, run `base`, step 0.  Its seed column holds the number of the base policy.
A killed stage goes on after the last part that it drew.  Exit code 75: stopped by SIGTERM, and a part was kept.

Knows no rewards: the stage rollouts judges all shards together.
"""

import argparse
import logging
from pathlib import Path

import torch  # noqa: F401  entry.py sets its threads and kernels, and it is imported later else

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.dtype import PolicyDtype
from tokenspectrum.params.rollouts import RolloutsParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.rollout.drawn import draw, drawn_columns
from tokenspectrum.rollout.given import given_answers, given_prompts, read_given
from tokenspectrum.rollout.make import make_engine, processes_of, prompts_at_once
from tokenspectrum.rollout.parts import kept_parts, policy_facts
from tokenspectrum.rollout.probe import BASE, dealt, read_probe
from tokenspectrum.rollout.questions import encode_questions
from tokenspectrum.rollout.types import Sampling
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
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
    parser.add_argument("--base", type=int, required=True, help="which of bases the policy is")
    parser.add_argument("--shard", type=int, required=True, help="which of rollouts.shards")
    args = parser.parse_args(argv)
    params, sampling, systems, dtype = read_sections(
        rollouts=RolloutsParams, sampling=SamplingParams, systems=SystemsParams, **{"train.dtype": PolicyDtype}
    )
    if args.shard not in params.shards:
        raise UserError(f"--shard {args.shard}: rollouts.shards has {', '.join(map(str, params.shards))}")
    questions = dealt(read_probe(args.prompts, params), args.shard, len(params.shards))
    n = params.responses(sampling.n)
    asked = Sampling(sampling.temperature, sampling.top_p, sampling.max_response_tokens, n)
    longest = sampling.max_prompt_tokens + sampling.max_response_tokens
    how = {"dtype": dtype.root, "max_tokens": longest}
    if params.given is not None:
        rows, tokenizer = read_given(params.given), load_tokenizer(args.policy)
        prompts = given_prompts(rows, questions, sampling.max_prompt_tokens)
        answers = given_answers(rows, prompts, asked, len(tokenizer))
    else:
        with kept_parts() as place, make_engine(params.engine, args.policy, systems, **how) as (engine, tokenizer):
            prompts = encode_questions(questions, tokenizer, sampling.max_prompt_tokens)
            chunk = prompts_at_once(params.engine, systems, n)
            facts = {"engine": params.engine, "dtype": dtype.root, "policy": policy_facts(args.policy)}
            processes = processes_of(params.engine, systems)
            answers = draw(engine, prompts, asked, params.seed, chunk, place, facts, processes)
    cut = sum(prompt.n_dropped > 0 for prompt in prompts)
    log.info("%d prompts, %d of them cut on the left to %d tokens", len(prompts), cut, sampling.max_prompt_tokens)
    write_step(args.out, "drawn", drawn.SCHEMA, drawn_columns(answers), run=BASE, seed=args.base, step=0)
    write_manifest(args.out)


if __name__ == "__main__":
    run(main)
