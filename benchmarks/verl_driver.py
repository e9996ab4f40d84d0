"""The driver that benchmarks/verl_steps.py times: python verl_driver.py plain | ours JOB OUT, under launch.supervise.

plain  verl's own runner and trainer under the configuration that our params give, with our reward, but its own engine
ours   tokenspectrum.training.backends.verl.driver
Writes how long the driver took to start, the seconds of each step, the mean response length, and for ours the seconds
of each write of the log, of each wait for one, and of each part of each step.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STARTED = time.time()

import ray  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402

from tokenspectrum.systems.ray.launch import ADDRESS_ENV, HEARTBEAT  # noqa: E402
from tokenspectrum.training.backends.verl import driver as ours  # noqa: E402
from tokenspectrum.training.backends.verl.config import VerlFiles, resolve, verl_config  # noqa: E402
from tokenspectrum.training.backends.verl.controller import VerlTrainer  # noqa: E402
from tokenspectrum.training.backends.verl.internals import PPOTrainerSync, ray_environment, validate  # noqa: E402
from tokenspectrum.training.backends.verl.reward import reward_config  # noqa: E402
from tokenspectrum.training.backends.verl.trainer import load_job  # noqa: E402
from tokenspectrum.training.logwriter import StepLog  # noqa: E402

# What a step asks of verl's trainer, one after the other.
PARTS = ("hand_over", "generate", "reward", "measure", "rest", "update")
POLL_S = 0.05  # verl's replay buffer looks every 2 s: that would be most of a tiny step, and none of a real one


def before(owner: type, name: str, note: Callable[[], Any]) -> None:
    """Call `note` whenever `owner.name` is called."""
    original = getattr(owner, name)

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        note()
        return original(self, *args, **kwargs)

    setattr(owner, name, called)


def timed(owner: type, name: str, seconds: list, at: bool = False) -> None:
    """Enter the seconds of every call of `owner.name`; with `at`, when it began and the seconds."""
    original = getattr(owner, name)

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        started = time.time()
        try:
            return original(self, *args, **kwargs)
        finally:
            took = time.time() - started
            seconds.append((started, took) if at else took)

    setattr(owner, name, called)


def run_plain(job: Any, begun: list[float], lengths: list[float]) -> None:
    """verl's own loop, in this process as ours is."""
    import os

    from verl.trainer.main_ppo import TaskRunnerV1

    (parquet,) = job.prompts.glob("*.parquet")
    config = resolve(verl_config(job, VerlFiles(parquet, parquet, job.policy, job.checkpoints)))
    for key, value in reward_config(job.reward, job.sampling.max_response_tokens).items():
        OmegaConf.update(config, key, value, force_add=True)
    # What our trainer does without, in its smallest form: few cores are there to share.
    plain = {
        "actor_rollout_ref.model.external_lib": None,
        "actor_rollout_ref.rollout.agent.num_workers": 1,
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
        "data.dataloader_num_workers": 0,
        "trainer.total_epochs": 10**6,
    }
    for key, value in plain.items():
        OmegaConf.update(config, key, value, force_add=True)
    validate(config)
    beat = job.checkpoints / HEARTBEAT
    beat.touch()
    environment = ray_environment() | {"TRANSFER_QUEUE_ENABLE": "1"}
    ray.init(address=os.environ[ADDRESS_ENV], runtime_env={"env_vars": environment})
    before(PPOTrainerSync, "on_step_begin", lambda: (begun.append(time.time()), beat.touch()))
    before(PPOTrainerSync, "on_train_begin", beat.touch)
    compute = PPOTrainerSync._compute_metrics

    def note_lengths(self: Any, batch: Any, metrics: dict, *args: Any, **kwargs: Any) -> Any:
        found = compute(self, batch, metrics, *args, **kwargs)
        lengths.append(float(metrics["response_length/mean"]))
        return found

    PPOTrainerSync._compute_metrics = note_lengths

    class Runner(TaskRunnerV1.__ray_metadata__.modified_class):
        def init_agent_loop_manager(self) -> None:
            self.trainer.replay_buffer.poll_interval = POLL_S
            super().init_agent_loop_manager()

    Runner().run(config)


def by_step(calls: list[tuple[float, float]], begun: list[float]) -> list[float]:
    """Seconds of a part in each step but the last, which does not end, from the calls' (start, seconds)."""
    return [sum(seconds for at, seconds in calls if start <= at < end) for start, end in itertools.pairwise(begun)]


def run_ours(
    job: Any,
    begun: list[float],
    lengths: list[float],
    writes: list[float],
    waits: list[float],
    parts: dict[str, list[tuple[float, float]]],
) -> None:
    for name, calls in parts.items():
        timed(VerlTrainer, name, calls, at=True)
    before(VerlTrainer, "hand_over", lambda: begun.append(time.time()))
    timed(StepLog, "_write", writes)
    timed(StepLog, "join", waits)
    add = StepLog.add

    def note_lengths(self: Any, record: Any) -> None:
        lengths.append(float(record.rollouts.lengths_R.double().mean()))
        add(self, record)

    StepLog.add = note_lengths
    ours.run(job)


def main() -> None:
    which, job, out = sys.argv[1], load_job(Path(sys.argv[2])), Path(sys.argv[3])
    begun, lengths, writes, waits = [], [], [], []
    parts: dict[str, list[tuple[float, float]]] = {name: [] for name in PARTS}
    if which == "plain":
        run_plain(job, begun, lengths)
    else:
        run_ours(job, begun, lengths, writes, waits, parts)
    steps = [after - start for start, after in itertools.pairwise(begun)]
    found = {"startup": begun[0] - STARTED, "steps": steps, "response_tokens": sum(lengths) / len(lengths)}
    found |= {"writes": writes, "waits": waits, "parts": {name: by_step(calls, begun) for name, calls in parts.items()}}
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
