"""Evaluate policies on every benchmark of a folder, and write the table `scores`: one file a benchmark and step.

A policy is given as (step, folder); the base policy's step is 0.  Judged samples are kept as parts, so a killed stage
goes on after its last part.  Knows folders and tables.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenspectrum.evaluation.mean_at_k import Sample, sample_benchmark, summarise
from tokenspectrum.params.evaluate import EvaluateParams
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.rollout.make import make_engine, prompts_at_once
from tokenspectrum.rollout.parts import Place, kept_parts, policy_facts
from tokenspectrum.rollout.questions import Question, read_questions
from tokenspectrum.rollout.types import Sampling
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.progress import Progress
from tokenspectrum.tables.scores import SCHEMA
from tokenspectrum.tokenlog.writer import write_json, write_manifest, write_step

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """Who is evaluated, under which seed, and how."""

    run: str
    seed: int
    params: EvaluateParams
    reward: RewardParams
    systems: SystemsParams
    dtype: str  # that the policy computes in


def write_scores(evaluation: Evaluation, policies: Sequence[tuple[int, Path]], benchmarks: Path, out: Path) -> None:
    """Write `out`: scores/run=/seed=/step=/<benchmark>.parquet, summary.json, and last the manifest."""
    questions = read_questions(benchmarks)
    summary: dict[str, dict[str, Any]] = {}
    with (
        kept_parts() as place,
        Progress("evaluate", total=len(policies) * sum(map(len, questions.values()))) as progress,
    ):
        done = 0
        for step, policy in policies:
            summary[str(step)] = {}
            for benchmark, samples in _judged(evaluation, policy, questions, place, progress, done):
                done += len(questions[benchmark])
                facts = summarise(samples, evaluation.params.samples)
                summary[str(step)][benchmark] = facts
                _log(evaluation, step, benchmark, facts)
                write_step(
                    out,
                    "scores",
                    SCHEMA,
                    columns(benchmark, samples),
                    run=evaluation.run,
                    seed=evaluation.seed,
                    step=step,
                    name=benchmark,
                )
    write_json(out / "summary.json", {"k": evaluation.params.samples, "steps": summary})
    write_manifest(out)


def columns(benchmark: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """Columns of the table `scores`."""
    names = ("prompt_id", "sample", "answer", "correct", "correct_alt", "n_tokens")
    return {"benchmark": [benchmark] * len(samples)} | {name: [getattr(s, name) for s in samples] for name in names}


def _judged(
    evaluation: Evaluation,
    policy: Path,
    questions: Mapping[str, Sequence[Question]],
    place: Place,
    progress: Progress,
    done: int,
) -> Iterator[tuple[str, list[Sample]]]:
    """Each benchmark with the policy's judged samples."""
    params, systems = evaluation.params, evaluation.systems
    sampling = Sampling(params.temperature, params.top_p, params.max_response_tokens, params.samples)
    how = {"dtype": evaluation.dtype, "max_tokens": params.max_prompt_tokens + params.max_response_tokens}
    facts = {"engine": params.engine, "dtype": evaluation.dtype, "policy": policy_facts(policy)}
    with make_engine(params.engine, policy, systems, **how) as (engine, tokenizer):
        for benchmark, of_benchmark in questions.items():
            yield (
                benchmark,
                sample_benchmark(
                    engine,
                    tokenizer,
                    of_benchmark,
                    sampling,
                    evaluation.seed,
                    max_prompt_tokens=params.max_prompt_tokens,
                    integer_sources=evaluation.reward.integer_sources,
                    chunk=prompts_at_once(params.engine, systems, params.samples),
                    place=place,
                    facts=facts | {"benchmark": benchmark},
                    report=lambda n, before=done: progress.update(before + n),
                ),
            )
            done += len(of_benchmark)


def _log(evaluation: Evaluation, step: int, benchmark: str, facts: Mapping[str, Any]) -> None:
    log.info(
        "%s seed %d step %d %s: mean@%d %.4f; math-verify differs on %d of %d samples; %d prompts cut",
        evaluation.run,
        evaluation.seed,
        step,
        benchmark,
        evaluation.params.samples,
        facts["mean_at_k"],
        facts["right_by_strict_only"] + facts["right_by_alternative_only"],
        facts["samples"],
        facts["prompts_cut"],
    )
