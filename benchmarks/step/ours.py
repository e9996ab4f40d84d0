"""Steps of trainer `local`, as the train stage runs it.  Leaves its responses for TRL to train on.

Knows what a step of ours calls.  Knows nothing of TRL.
"""

import contextlib
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenspectrum.stages  # noqa: F401  portable arithmetic, before anything loads a library
from benchmarks.raw import ROOT
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.train import TrainParams
from tokenspectrum.portable.kernels import install
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.training import loop
from tokenspectrum.training.backends.local.backend import LocalBackend
from tokenspectrum.training.job import TrainJob
from tokenspectrum.weighting.registry import make_rule

RULE = {
    "kind": "predictive-high",
    "p": 0.2,
    "denominator": "all",
    "scope": "minibatch",
    "entropy_of": "old",
    "score": "predictive_entropy",
}


class EndedError(Exception):
    """All steps are done.  What comes after them is not measured."""


@dataclass
class Clock:
    """When each step began, ended, and what its sampling took; CPU-seconds of this process."""

    steps: int
    began: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    sampling: list[float] = field(default_factory=list)
    responses: list[list[Any]] = field(default_factory=list)
    without_advantage: list[float] = field(default_factory=list)


def make_job(facts: dict, steps: int) -> TrainJob:
    """The default preset's training with the sizes asked for."""
    prompts, samples, tokens, mini_batches, _, buffer = facts["size"]
    data, work = read_preset("tiny", ROOT / "presets").data, Path(facts["work"])
    log = data["train"]["token_log"] | {"layers": ["mid"], "row_stats": None}
    train = data["train"] | {
        "steps": steps,
        "prompts_per_step": prompts,
        "mini_batches": mini_batches,
        "token_log": log,
    }
    sampling = data["sampling"] | {"n": samples, "max_response_tokens": tokens}
    reward = data["reward"] | {"overlong": {"buffer": buffer, "factor": 1.0}}
    systems = data["systems"] | {
        "checkpoint_every": steps,
        "tracker": "none",
        "micro_batch": min(64, prompts * samples),
    }
    sections = (
        (TrainParams, train),
        (SamplingParams, sampling),
        (RewardParams, reward),
        (SystemsParams, systems),
    )
    train, sampling, reward, systems = (model.model_validate_json(json.dumps(value)) for model, value in sections)
    return TrainJob(
        run="step", seed=1, method="step", preset="benchmark", policy_name="policy", rule=make_rule(**RULE),
        prompts=Path(facts["prompts_at"]), policy=Path(facts["policy"]), out=work / "out", metrics=work / "metrics",
        checkpoints=work / "checkpoints", train=train, sampling=sampling, reward=reward, systems=systems,
    )  # fmt: skip


def watched(clock: Clock) -> type[LocalBackend]:
    """The local backend, whose `generate` tells the clock that a step begins."""

    class Watched(LocalBackend):
        def generate(self, prompts: Any, sampling: Any, step: int) -> Any:
            clock.began.append(time.process_time())
            responses = super().generate(prompts, sampling, step)
            clock.sampling.append(time.process_time() - clock.began[-1])
            clock.responses.append(list(responses))
            return responses

    return Watched


def timed_log(clock: Clock) -> type[loop.StepLog]:
    """The step log, which tells the clock that a step is written."""

    class Timed(loop.StepLog):
        def add(self, record: Any) -> None:
            super().add(record)
            clock.ended.append(time.process_time())
            clock.without_advantage.append(float((record.rollouts.judged.advantage_R == 0).float().mean()))
            if len(clock.ended) == clock.steps:
                raise EndedError

    return Timed


def main(facts: dict) -> None:
    install()
    steps = facts["size"][4]
    clock = Clock(steps)
    loop.StepLog = timed_log(clock)
    job = make_job(facts, steps)
    with contextlib.suppress(EndedError):
        loop.train(job, watched(clock).start)
    whole = [end - begin for begin, end in zip(clock.began, clock.ended, strict=True)]
    given = [all_of_it - sampling for all_of_it, sampling in zip(whole, clock.sampling, strict=True)]
    everything = [r for step in clock.responses for r in step]
    Path(facts["work"], "responses.json").write_text(
        json.dumps([(r.prompt_id, r.prompt_token_ids, r.token_ids, r.logprobs) for r in everything])
    )
    found = {"cpu_seconds": whole, "given_cpu_seconds": given}
    found["response_tokens"] = round(sum(len(r.token_ids) for r in everything) / steps)
    found["without_advantage"] = f"{sum(clock.without_advantage) / steps:.2f}"
    found["logged"] = "every token: log-probability, entropies, attention of a layer, weight, ratio, loss"
    Path(facts["out"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
