"""The training loop, the same for every trainer: sample, measure, weigh, update, log, save, and at the end publish.

A run may be killed at any point.  When it is started again, it resumes from its last checkpoint and leaves the same
bytes.  After SIGTERM it finishes its step, saves a checkpoint and exits with STOPPED.

Knows the order of the work, when to save and how to resume.  Knows no trainer: backend.py has all that it asks for.
"""

import functools
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from transformers import PreTrainedTokenizerBase

from tokenspectrum.systems.board import Board
from tokenspectrum.systems.progress import Progress, log_dir
from tokenspectrum.systems.sigterm import NOTHING_NEW, STOPPED, stop_signal
from tokenspectrum.training.backend import Backend
from tokenspectrum.training.checkpoint import resume, save
from tokenspectrum.training.dynamic import collect
from tokenspectrum.training.inputs import Inputs, read_inputs
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.logwriter import StepLog
from tokenspectrum.training.sample import sampler
from tokenspectrum.training.step import run_step
from tokenspectrum.training.steplog import write_run
from tokenspectrum.training.workspace import Workspace

# Starts a backend on the job's base policy.  The end of the block ends it.
Start = Callable[[TrainJob, PreTrainedTokenizerBase], AbstractContextManager[Backend]]
Beat = Callable[[], None]
_log = logging.getLogger(__name__)


def train(job: TrainJob, start: Start, beat: Beat = lambda: None) -> None:
    """Train to the last step and publish job.out.  Raises UserError on bad input, SystemExit(STOPPED) after SIGTERM.

    `beat` is called at the end of each phase of a step, and of each file that is checked or published: so a watcher
    knows that the run goes on.
    """
    inputs = read_inputs(job)
    with stop_signal() as stop, start(job, inputs.tokenizer) as backend:
        work = Workspace(job.checkpoints / "outputs", beat)
        run(backend, job, inputs, work, stop, beat)
        work.publish(job.targets())


def run(backend: Backend, job: TrainJob, inputs: Inputs, work: Workspace, stop: threading.Event, beat: Beat) -> None:
    """Every step from the last checkpoint on; all that the run leaves is then in `work`."""
    identity = job.identity()
    done, memory = resume(backend, job.checkpoints, identity, work)
    if done == 0:
        memory = job.rule.memory
        work.add([write_run(work.root, job)])
    steps, cut = job.train.steps, []
    label = f"train {job.run} seed {job.seed}"
    logs = log_dir()
    with (
        Board(job.systems, logs, f"{job.run}-s{job.seed}", done + 1) as board,
        Progress(label, steps, begun=lambda: done) as progress,
        StepLog(job, inputs.layers, work, board, progress, behind=backend.overlaps) as log,
    ):
        if stop.is_set() and done < steps:
            _log.info("%s: stopped by SIGTERM before step %d, so nothing is new since it started", label, done + 1)
            raise SystemExit(NOTHING_NEW)
        for step in range(done + 1, steps + 1):
            sample = sampler(job, inputs.tokenizer, cut, functools.partial(backend.generate, step=step))
            rollouts = collect(job, step, inputs.questions, inputs.order, inputs.tokenizer, sample, backend.reward)
            record = run_step(backend, job, inputs.layers, step, rollouts, beat, memory)
            log.add(record)
            if memory is not None:
                memory = job.rule.after(memory, record.seen)
            # Read this once.  A signal between the save and the exit would otherwise end the run without a checkpoint.
            last, stopping = step == steps, stop.is_set()
            if last or step in job.train.keep_steps:
                folder = work.root / "policy" / f"step={step:05d}"
                backend.export(folder)
                log.join()
                work.add([folder])
            if last or step % job.systems.checkpoint_every == 0 or stopping:
                log.join()
                save(backend, job.checkpoints, identity, work.files, step, memory)
                beat()
            if stopping and not last:
                _log.info("%s: stopped by SIGTERM after step %d; run it again to go on", label, step)
                raise SystemExit(STOPPED)
    if cut:
        _log.info("%s: %d prompts were cut on the left to %d tokens", label, len(cut), job.sampling.max_prompt_tokens)
