"""The local trainer: DAPO in one process, plain PyTorch, bitwise repeatable on a CPU.  The reference for every other.

Knows the loop, when to save and how to go on.  What a step does is in step.py, what it leaves in steplog.py.

Killed at any point and started again it goes on from its last checkpoint, and ends with the same bytes as if nothing
had happened.  SIGTERM lets it finish its step, save a checkpoint and exit with STOPPED.
"""

import functools
import itertools
import logging
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tokenspectrum.policy.load import load_policy
from tokenspectrum.policy.save import save_policy
from tokenspectrum.rollout.engine import RolloutEngine
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.rollout.questions import read_questions
from tokenspectrum.systems.board import Board
from tokenspectrum.systems.progress import Progress, log_dir
from tokenspectrum.training.backends.local.actor import LocalActor
from tokenspectrum.training.backends.local.checkpoint import (
    Checkpoint,
    DamagedError,
    checkpoints,
    load_checkpoint,
    model_tensors,
    optimizer_tensors,
    restore,
    save_checkpoint,
)
from tokenspectrum.training.data import PromptOrder
from tokenspectrum.training.dynamic import collect
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.sample import sampler
from tokenspectrum.training.step import logged_layers, run_step
from tokenspectrum.training.steplog import summarise, write_run, write_tables
from tokenspectrum.training.workspace import Workspace

STOPPED = 75  # EX_TEMPFAIL: not finished, no error; start it again to go on
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trainer:
    """What a run works with: the live policy with its optimiser, its tokenizer, and an engine that samples from it."""

    job: TrainJob
    actor: LocalActor
    tokenizer: PreTrainedTokenizerBase
    engine: RolloutEngine

    @property
    def model(self) -> PreTrainedModel:
        return self.actor.model


def train(job: TrainJob) -> None:
    """Train to the last step and publish job.out.  Raises UserError on bad input, SystemExit(STOPPED) after SIGTERM."""
    torch.set_num_threads(job.systems.threads)
    torch.manual_seed(job.seed)
    trainer = make_trainer(job)
    questions = list(itertools.chain.from_iterable(read_questions(job.prompts).values()))
    order = PromptOrder(tuple(q.prompt_id for q in questions), job.seed, job.train.prompts_per_step)
    work = Workspace(job.checkpoints / "outputs")
    identity = job.identity()
    done = resume(trainer, work, identity)
    if done == 0:
        work.add([write_run(work.root, job)])
    layers = logged_layers(job, trainer.model.config.get_text_config().num_hidden_layers)
    events = log_dir() / "tensorboard" if job.systems.tensorboard and log_dir() else None
    cut: list[str] = []
    label = f"train {job.run} seed {job.seed}"
    with stop_signal() as stop, Board(events, done + 1) as board, Progress(label, job.train.steps) as progress:
        for step in range(done + 1, job.train.steps + 1):
            generate = functools.partial(trainer.engine.generate, seed=job.seed, step=step)
            sample = sampler(job, trainer.tokenizer, cut, generate)
            rollouts = collect(job, step, questions, order, trainer.tokenizer, sample)
            record = run_step(trainer.actor, job, layers, step, rollouts)
            summary = summarise(record, layers, job.clip_range)
            work.add(write_tables(work.root, job, layers, record, summary))
            # Read once: a signal between the save and the exit would be obeyed without a checkpoint of this step.
            last, stopping = step == job.train.steps, stop.is_set()
            if last or step in job.train.keep_steps:
                folder = work.root / "policy" / f"step={step:05d}"
                save_policy(trainer.model, trainer.tokenizer, folder)
                work.add([folder])
            if last or step % job.systems.checkpoint_every == 0 or stopping:
                save(trainer, work, identity, step)
            board.add(step, summary)
            progress.update(step, reward=summary["reward"], accuracy=summary["accuracy"], length=summary["length"])
            if stopping and not last:
                _log.info("%s: stopped by SIGTERM after step %d; run it again to go on", label, step)
                raise SystemExit(STOPPED)
    if cut:
        _log.info("%s: %d prompts were cut on the left to %d tokens", label, len(cut), job.sampling.max_prompt_tokens)
    work.publish(job.targets())


def make_trainer(job: TrainJob) -> Trainer:
    """The base policy with a fresh optimiser, and an engine that samples from it."""
    model, tokenizer = load_policy(job.policy)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=job.train.learning_rate,
        betas=job.train.betas,
        weight_decay=job.train.weight_decay,
        fused=True,
    )
    engine = TransformersEngine(model, tokenizer, batch_rows=job.systems.generate_batch)
    return Trainer(job, LocalActor(job, model, optimizer), tokenizer, engine)


def resume(trainer: Trainer, work: Workspace, identity: str) -> int:
    """Go back to the newest usable checkpoint; the number of steps done, 0 to start from the base policy.

    A checkpoint that is damaged, lacks a file logged before it, or was made from other inputs or params is named in the
    log and removed, and the one before it is tried.
    """
    for path in checkpoints(trainer.job.checkpoints):
        try:
            checkpoint = load_checkpoint(path)
            if checkpoint.state["identity"] != identity:
                raise DamagedError(f"{path}: made from other inputs or params")
            if damaged := work.damaged(checkpoint.state["files"]):
                raise DamagedError(f"{damaged}: damaged or missing")
            restore(trainer.model, trainer.actor.optimizer, checkpoint)
        except DamagedError as e:
            _log.warning("%s; going back to an earlier checkpoint", e)
            shutil.rmtree(path)
            continue
        torch.set_rng_state(checkpoint.tensors["rng"]["torch"])
        work.reset(checkpoint.state["files"])
        _log.info("resuming after step %d from %s", checkpoint.step, path)
        return checkpoint.step
    work.reset({})
    return 0


def save(trainer: Trainer, work: Workspace, identity: str, step: int) -> None:
    """A checkpoint after `step`: policy, optimiser and RNG as tensors, the files logged so far in its state."""
    tensors = {
        "model": model_tensors(trainer.model),
        "optimizer": optimizer_tensors(trainer.model, trainer.actor.optimizer),
        "rng": {"torch": torch.get_rng_state()},
    }
    save_checkpoint(trainer.job.checkpoints, Checkpoint(step, {"identity": identity, "files": work.files}, tensors))


@contextmanager
def stop_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM sets; the handler from before comes back at the end."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested
        return
    before = signal.signal(signal.SIGTERM, lambda *_: requested.set())
    try:
        yield requested
    finally:
        signal.signal(signal.SIGTERM, before)
