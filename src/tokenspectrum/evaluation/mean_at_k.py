"""mean@k of a policy on one benchmark: exactly k samples a problem, each judged by two verifiers.

A draw depends on (seed, prompt, sample) alone.  So all policies that are evaluated under one seed get the same
uniforms.  Knows the protocol of engines.  Knows no run, no training step and no file.
"""

import itertools
import json
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from tokenspectrum.errors import UserError
from tokenspectrum.policy.text import response_texts
from tokenspectrum.reward import boxed
from tokenspectrum.reward.alternative import math_verify_correct
from tokenspectrum.rollout.engine import RolloutEngine, check_groups
from tokenspectrum.rollout.make import generate_side_by_side
from tokenspectrum.rollout.parts import Codec, Place, in_parts
from tokenspectrum.rollout.questions import Question, encode_questions
from tokenspectrum.rollout.types import Response, Sampling

DOMAIN = "evaluate"  # of the draws: never those of training under the same seed


@dataclass(frozen=True)
class Kept:
    """What can be read of a sample later.  Arrays, for a benchmark has many millions of tokens: eight bytes a token."""

    text: str
    n_prompt: int
    token_ids: array  # of int32
    rollout_logprobs: array  # of float32, nats


@dataclass(frozen=True)
class Sample:
    """One judged response: `correct` by the strict verifier, `correct_alt` by math-verify."""

    prompt_id: str
    sample: int
    answer: str | None
    correct: bool
    correct_alt: bool
    n_tokens: int
    finished: bool  # ended by itself, not by the limit
    n_dropped: int  # tokens of the prompt cut on the left
    kept: Kept | None = field(default=None, repr=False)


def sample_benchmark(
    engine: RolloutEngine,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    sampling: Sampling,
    seed: int,
    *,
    max_prompt_tokens: int,
    integer_sources: Sequence[str],
    chunk: int,
    place: Place,
    facts: Mapping[str, Any],
    processes: int = 1,
    keep: bool = False,
    report: Callable[[int], None] = lambda done: None,
) -> list[Sample]:
    """`sampling.n` judged responses to each question, question by question.

    `chunk` problems go to the engine at once, which changes samples by float noise only.  `processes` sample side by
    side and change nothing.  Samples are kept at `place` as they are judged; `facts` says with which policy and in
    which precision.  `keep`: each sample has its text, tokens and log-probabilities.  `report` is called with the
    number of problems done.  Raises UserError if the engine returns more or fewer responses than asked for.
    """

    def make(items: list[int]) -> list[list[Sample]]:
        part = [questions[i] for i in items]
        prompts = encode_questions(part, tokenizer, max_prompt_tokens)
        how: Mapping[str, Any] = {"chunk": chunk, "processes": processes, "domain": DOMAIN}
        responses = generate_side_by_side(engine, prompts, sampling, seed, **how)
        check_groups(responses, prompts, sampling.n)
        texts = response_texts(tokenizer, [r.token_ids for r in responses])
        samples = []
        for i, (response, text) in enumerate(zip(responses, texts, strict=True)):
            question, prompt = part[i // sampling.n], prompts[i // sampling.n]
            verdict = boxed.verify(text, question.ground_truth, question.data_source, integer_sources)
            samples.append(
                Sample(
                    prompt_id=response.prompt_id,
                    sample=response.sample,
                    answer=verdict.answer,
                    correct=verdict.correct,
                    correct_alt=math_verify_correct(text, question.ground_truth),
                    n_tokens=len(response.token_ids),
                    finished=response.finish_reason == "stop",
                    n_dropped=prompt.n_dropped,
                    kept=_kept(text, response) if keep else None,
                )
            )
        return [samples[first : first + sampling.n] for first in range(0, len(samples), sampling.n)]

    decided = {
        **facts,
        "sampling": asdict(sampling),
        "seed": seed,
        "max_prompt_tokens": max_prompt_tokens,
        "integer_sources": list(integer_sources),
        "keep": keep,
        "questions": [asdict(question) for question in questions],
    }
    groups = in_parts(place, decided, range(len(questions)), chunk * processes, make, _CODEC, report)
    return list(itertools.chain.from_iterable(groups))


def _kept(text: str, response: Response) -> Kept:
    return Kept(text, len(response.prompt_token_ids), array("i", response.token_ids), array("f", response.logprobs))


def _pack(groups: list[list[Sample]]) -> bytes:
    return json.dumps([[asdict(sample) for sample in group] for group in groups], default=list).encode()


def _unpack(payload: bytes) -> list[list[Sample]]:
    return [[_sample(fields) for fields in group] for group in json.loads(payload)]


def _sample(fields: dict[str, Any]) -> Sample:
    if (kept := fields["kept"]) is not None:
        arrays = {"token_ids": array("i", kept["token_ids"]), "rollout_logprobs": array("f", kept["rollout_logprobs"])}
        fields = fields | {"kept": Kept(**(kept | arrays))}
    return Sample(**fields)


_CODEC = Codec(_pack, _unpack)


def mean_at_k(samples: Sequence[Sample], k: int, *, alternative: bool = False) -> float:
    """Mean over the k samples of a problem, then over problems.  UserError if a problem has not exactly k samples."""
    right: dict[str, dict[int, bool]] = {}
    for s in samples:
        of_problem = right.setdefault(s.prompt_id, {})
        if s.sample in of_problem:
            raise UserError(f"problem {s.prompt_id}: sample {s.sample} twice; evaluate each problem once")
        of_problem[s.sample] = s.correct_alt if alternative else s.correct
    for prompt_id, of_problem in right.items():
        if set(of_problem) != set(range(k)):
            raise UserError(f"problem {prompt_id}: {len(of_problem)} samples where mean@{k} needs exactly {k}")
    if not right:
        raise UserError(f"mean@{k} of no problems: the benchmark is empty")
    return sum(sum(of_problem.values()) / k for of_problem in right.values()) / len(right)


def summarise(samples: Sequence[Sample], k: int) -> dict[str, Any]:
    """Summary of a benchmark: accuracy by both verifiers, and how often they disagree."""
    n = len(samples)
    return {
        "mean_at_k": mean_at_k(samples, k),
        "mean_at_k_alternative": mean_at_k(samples, k, alternative=True),
        "problems": len({s.prompt_id for s in samples}),
        "samples": n,
        "right_by_strict_only": sum(s.correct and not s.correct_alt for s in samples),
        "right_by_alternative_only": sum(s.correct_alt and not s.correct for s in samples),
        "boxed": sum(s.answer is not None for s in samples) / n,
        "cut_off": sum(not s.finished for s in samples) / n,
        "mean_tokens": sum(s.n_tokens for s in samples) / n,
        "prompts_cut": len({s.prompt_id for s in samples if s.n_dropped}),
    }
