"""Stage `rollouts`: join the shards of the base policy's responses, and compute rewards and group advantages.

Out: tables responses, sampled (what the engine returned) and prompt_tokens (what the policy saw), run `base`, step 0.
Their seed column holds the number of the base policy.
The number of shards changes the rows by float noise only.  The weights stage resolves rules on these responses.  No
policy is trained on them.
"""

import argparse
from pathlib import Path

from tokenspectrum.params.base import read_sections
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.params.rollouts import RolloutsParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.rollout.columns import prompt_columns, sampled_columns
from tokenspectrum.rollout.drawn import read_shards
from tokenspectrum.rollout.given import given_prompts, read_given
from tokenspectrum.rollout.given_rewards import given_rewards
from tokenspectrum.rollout.judged import judge, response_columns
from tokenspectrum.rollout.probe import BASE, read_probe
from tokenspectrum.rollout.questions import encode_questions
from tokenspectrum.stages.entry import run
from tokenspectrum.tables import prompt_tokens, responses, sampled
from tokenspectrum.tokenlog.writer import write_manifest, write_step


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "samples": "folder of the shards' responses, one folder a shard",
        "prompts": "folder of the training prompts",
        "policy": "folder of the base policy, for its tokenizer",
        "out": "folder to write the tables into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    parser.add_argument("--base", type=int, required=True, help="which of bases the policy is")
    args = parser.parse_args(argv)
    params, sampling, reward = read_sections(rollouts=RolloutsParams, sampling=SamplingParams, reward=RewardParams)
    questions = read_probe(args.prompts, params)
    tokenizer = load_tokenizer(args.policy)
    theirs = None
    if params.given is None:
        prompts = encode_questions(questions, tokenizer, sampling.max_prompt_tokens)
    else:
        rows = read_given(params.given)
        prompts = given_prompts(rows, questions, sampling.max_prompt_tokens)
        theirs = given_rewards(rows, tokenizer) if params.given.rewards == "theirs" else None
    n = params.responses(sampling.n)
    answers = read_shards([args.samples / str(shard) for shard in params.shards], prompts, n)
    judged = judge(questions, answers, tokenizer, reward, sampling.max_response_tokens, theirs)
    for table, schema, columns in (
        ("responses", responses.SCHEMA, response_columns(judged)),
        ("sampled", sampled.SCHEMA, sampled_columns(answers)),
        ("prompt_tokens", prompt_tokens.SCHEMA, prompt_columns(prompts)),
    ):
        write_step(args.out, table, schema, columns, run=BASE, seed=args.base, step=0)
    write_manifest(args.out)


if __name__ == "__main__":
    run(main)
