"""Evaluate policies on every benchmark of a folder, and write two tables: one file a benchmark and step.

`scores` says what was right, and results are made of it.  `evaluated` has the texts and tokens, in a folder of its own.

A policy is given as (step, folder); the base policy's step is 0.  Judged samples are kept as parts, so a killed stage
goes on after its last part.  Knows folders and tables.
"""

import logging
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tokenspectrum.evaluation.mean_at_k import Sample, sample_benchmark, summarise
from tokenspectrum.params.evaluate import EvaluateParams
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.rollout.make import make_engine, processes_of, prompts_at_once
from tokenspectrum.rollout.parts import Place, kept_parts, policy_facts
from tokenspectrum.rollout.questions import Question, read_questions
from tokenspectrum.rollout.types import Sampling
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.progress import Progress
from tokenspectrum.tables import evaluated, scores
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


def write_scores(
    evaluation: Evaluation, policies: Sequence[tuple[int, Path]], benchmarks: Path, out: Path, samples_out: Path
) -> None:
    """Write `out`: scores/run=/seed=/step=/<benchmark>.parquet, summary.json, and last the manifest.

    `samples_out` gets evaluated/run=/seed=/step=/<benchmark>.parquet and a manifest.  Without `keep_samples` the
    manifest lists nothing.
    """
    questions = read_questions(benchmarks)
    summary: dict[str, dict[str, Any]] = {}
    with (
        kept_parts() as place,
        Progress(
            "evaluate", total=len(policies) * sum(map(len, questions.values())), begun=lambda: place.kept
        ) as progress,
    ):
        done = 0
        for step, policy in policies:
            summary[str(step)] = {}
            for benchmark, samples in _judged(evaluation, policy, questions, place, progress, done):
                done += len(questions[benchmark])
                facts = summarise(samples, evaluation.params.samples)
                summary[str(step)][benchmark] = facts
                _log(evaluation, step, benchmark, facts)
                key = {"run": evaluation.run, "seed": evaluation.seed, "step": step}
                write_step(out, "scores", scores.SCHEMA, columns(benchmark, samples), **key, name=benchmark)
                if evaluation.params.keep_samples:
                    texts = sample_columns(benchmark, samples)
                    write_step(samples_out, "evaluated", evaluated.SCHEMA, texts, **key, name=benchmark)
    write_json(out / "summary.json", {"k": evaluation.params.samples, "steps": summary})
    write_manifest(out)
    samples_out.mkdir(parents=True, exist_ok=True)
    write_manifest(samples_out)


def columns(benchmark: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """Columns of the table `scores`."""
    names = ("prompt_id", "sample", "answer", "correct", "correct_alt", "n_tokens")
    return {"benchmark": [benchmark] * len(samples)} | {name: [getattr(s, name) for s in samples] for name in names}


def sample_columns(benchmark: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """Columns of the table `evaluated`; its rows have the order of those of `scores`."""
    kept = [sample.kept for sample in samples if sample.kept is not None]
    ids, logprobs = ([getattr(k, name) for k in kept] for name in ("token_ids", "rollout_logprobs"))
    return {
        "benchmark": [benchmark] * len(samples),
        "prompt_id": [s.prompt_id for s in samples],
        "sample": [s.sample for s in samples],
        "text": [k.text for k in kept],
        "n_prompt": [k.n_prompt for k in kept],
        "finish_reason": ["stop" if s.finished else "length" for s in samples],
        "token_ids": _lists(ids, np.int32),
        "rollout_logprobs": _lists(logprobs, np.float32),
    }


def _lists(arrays: Sequence[array], dtype: type) -> pa.ListArray:
    """One list a sample, without a Python object for each number."""
    ends = np.cumsum([0, *map(len, arrays)]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, np.concatenate([np.zeros(0, dtype), *(np.asarray(a, dtype) for a in arrays)]))


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
                    processes=processes_of(params.engine, systems),
                    place=place,
                    facts=facts | {"benchmark": benchmark},
                    keep=params.keep_samples,
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
