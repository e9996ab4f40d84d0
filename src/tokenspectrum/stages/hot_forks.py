"""Stage `hot_forks`: the base policy on the benchmarks with a temperature T' at forks and 1 elsewhere, or the reverse.

Draws are the same under every setting: a hash of problem, sample and position.  Out: the table hot_forks.
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from tokenspectrum.counter import stream_key
from tokenspectrum.errors import UserError
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.dtype import PolicyDtype
from tokenspectrum.params.evaluate import EvaluateParams
from tokenspectrum.params.hot_forks import HotForksSection
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.policy.text import response_texts
from tokenspectrum.reward.boxed import verify
from tokenspectrum.rollout.engine import check_groups
from tokenspectrum.rollout.make import make_engine, processes_of, prompts_at_once
from tokenspectrum.rollout.probe import BASE
from tokenspectrum.rollout.questions import Question, encode_questions, read_questions
from tokenspectrum.rollout.types import Heat, Response, Sampling
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.progress import Progress
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.tables import hot_forks
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.tokenlog.writer import write_manifest, write_step

DOMAIN = "forks"
FORKS, OTHERS = "forks", "others"
# A setting, and the questions that go to the engine at once.
Piece = tuple[Heat, list[Question]]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "tokens": "folder of the tokens of the base policy's probe",
        "benchmarks": "folder of the benchmarks' problems",
        "policy": "folder of the base policy",
        "out": "folder to write the table into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    parser.add_argument("--base", type=int, required=True, help="which of bases the policy is")
    args = parser.parse_args(argv)
    section, evaluate, reward, systems, dtype = read_sections(
        hot_forks=HotForksSection,
        evaluate=EvaluateParams,
        reward=RewardParams,
        systems=SystemsParams,
        **{"train.dtype": PolicyDtype},
    )
    params = section.root
    if params is None:
        raise UserError("hot_forks: null, so nothing is asked for; give it temperatures")
    entropy_N = read_table(args.tokens, "tokens", step=0, columns=["predictive_entropy"])["predictive_entropy"]
    threshold = float(np.quantile(entropy_N.to_numpy(), params.quantile))
    chosen = {name: some(part, params.problems) for name, part in read_questions(args.benchmarks).items()}
    columns: dict[str, list[Any]] = {name: [] for name in hot_forks.SCHEMA.names}
    how = {"dtype": dtype.root, "max_tokens": evaluate.max_prompt_tokens + evaluate.max_response_tokens}
    at_once = prompts_at_once(evaluate.engine, systems, params.samples)
    settings = {
        (heated, t): Heat(threshold, t, 1.0) if heated == FORKS else Heat(threshold, 1.0, t)
        for heated in (FORKS, OTHERS)
        for t in params.temperatures
    }
    # Each problem once, though two benchmarks may have it; each heat once, though at T' = 1 two settings are one.
    asked = list({question.prompt_id: question for part in chosen.values() for question in part}.values())
    pieces: list[Piece] = [
        (heat, asked[first : first + at_once])
        for heat in dict.fromkeys(settings.values())
        for first in range(0, len(asked), at_once)
    ]
    found: dict[tuple[Heat, str], list[Response]] = {}
    with (
        make_engine(evaluate.engine, args.policy, systems, **how) as (engine, tokenizer),
        Progress("hot_forks", total=len(pieces)) as progress,
    ):

        def answer(piece: Piece) -> list[Response]:
            heat, part = piece
            sampling = Sampling(1.0, params.top_p, evaluate.max_response_tokens, params.samples, heat)
            prompts = encode_questions(part, tokenizer, evaluate.max_prompt_tokens)
            answers = engine.generate(prompts, sampling, args.base, 0, domain=DOMAIN)
            check_groups(answers, prompts, params.samples)
            return answers

        each = side_by_side(answer, pieces, processes_of(evaluate.engine, systems))
        for done, ((heat, _), answers) in enumerate(zip(pieces, each, strict=True), 1):
            for one in answers:
                found.setdefault((heat, one.prompt_id), []).append(one)
            progress.update(done)
    for ((heated, t), heat), (benchmark, part) in itertools.product(settings.items(), chosen.items()):
        for question in part:
            answers = found[heat, question.prompt_id]
            for one, text in zip(answers, response_texts(tokenizer, [one.token_ids for one in answers]), strict=True):
                verdict = verify(text, question.ground_truth, question.data_source, reward.integer_sources)
                row = (heated, t, threshold, benchmark, one.prompt_id, one.sample, verdict.correct)
                for name, value in zip(columns, (*row, len(one.token_ids)), strict=True):
                    columns[name].append(value)
    write_step(args.out, "hot_forks", hot_forks.SCHEMA, columns, run=BASE, seed=args.base, step=0)
    write_manifest(args.out)


def some(questions: list[Question], count: int) -> list[Question]:
    """`count` of the questions (all, if there are fewer), chosen by a hash, in the file's order."""
    by_hash = sorted(questions, key=lambda question: stream_key(DOMAIN, 0, 0, question.prompt_id, 0))
    kept = {question.prompt_id for question in by_hash[:count]}
    return [question for question in questions if question.prompt_id in kept]


if __name__ == "__main__":
    run(main)
