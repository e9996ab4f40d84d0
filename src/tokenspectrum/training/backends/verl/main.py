"""The driver of a run on verl: the loop over steps, its log, its checkpoints, and how it ends.

Started by launch.py, `python -m tokenspectrum.training.backends.verl.main --job FILE`, once Ray is up at
$TOKENSPECTRUM_RAY_ADDRESS.  Exit codes: 0 done; 75 stopped by SIGTERM after a checkpoint, start it again to go on;
1 with a last line `error: ...`.  Knows the order of a run.  Knows nothing of starting or stopping Ray.
"""

import argparse
import functools
import itertools
import json
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import ray
from omegaconf import OmegaConf
from transformers import PreTrainedTokenizerBase

from tokenspectrum.errors import UserError
from tokenspectrum.policy.load import check_vocab, load_tokenizer, read_config
from tokenspectrum.rollout.questions import Question, read_questions
from tokenspectrum.rollout.stop import stop_ids_in
from tokenspectrum.systems.board import Board
from tokenspectrum.systems.progress import Progress, log_dir
from tokenspectrum.systems.ray.vitals import Vitals
from tokenspectrum.training.backends.local.trainer import STOPPED, stop_signal
from tokenspectrum.training.backends.verl.actor import VerlActor
from tokenspectrum.training.backends.verl.checkpoint import export_policy, resume, save
from tokenspectrum.training.backends.verl.config import VerlFiles, resolve, verl_config
from tokenspectrum.training.backends.verl.internals import VENDOR, VENDOR_ENV, check_pins, ray_environment, validate
from tokenspectrum.training.backends.verl.reward import reward_config
from tokenspectrum.training.backends.verl.trainer import VerlTrainer
from tokenspectrum.training.data import PromptOrder
from tokenspectrum.training.dynamic import collect
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import StepRecord
from tokenspectrum.training.sample import sampler
from tokenspectrum.training.step import logged_layers, run_step
from tokenspectrum.training.steplog import summarise, write_run, write_tables
from tokenspectrum.training.workspace import Workspace

ADDRESS_ENV = "TOKENSPECTRUM_RAY_ADDRESS"
HEARTBEAT = "heartbeat"
Beat = Callable[[], None]
_log = logging.getLogger("tokenspectrum.training.backends.verl.main")  # run as a program, its name is another


def run(job: TrainJob) -> None:
    """Train to the last step and publish job.out.  Raises UserError on bad input, SystemExit(STOPPED) after SIGTERM."""
    check_pins()
    beat = _heartbeat(job)
    inputs = read_inputs(job)
    with stop_signal() as stop:
        _join_ray(job)
        # Ray puts its own handler in the place of ours.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: stop.set())
        trainer = make_trainer(job, inputs.tokenizer)
        beat()
        with Vitals(trainer.dead):
            _train(trainer, job, inputs, stop, beat)


@dataclass(frozen=True)
class Inputs:
    """What a run reads before anything is started: prompts and their order, the tokenizer, the layers to log."""

    questions: Sequence[Question]
    order: PromptOrder
    tokenizer: PreTrainedTokenizerBase
    layers: tuple[int, ...]


def read_inputs(job: TrainJob) -> Inputs:
    """Raises UserError for too few prompts, a layer out of range, and a vocabulary that is not the tokenizer's."""
    questions = list(itertools.chain.from_iterable(read_questions(job.prompts).values()))
    order = PromptOrder(tuple(q.prompt_id for q in questions), job.seed, job.train.prompts_per_step)
    tokenizer, config = load_tokenizer(job.policy), read_config(job.policy)
    check_vocab(job.policy, config["vocab_size"], tokenizer)
    return Inputs(questions, order, tokenizer, logged_layers(job, config["num_hidden_layers"]))


def make_trainer(job: TrainJob, tokenizer: PreTrainedTokenizerBase) -> VerlTrainer:
    """Actor workers with the base policy's weights, and vLLM servers that wait for them."""
    files = VerlFiles(job.prompts, job.prompts, job.policy.resolve(), job.checkpoints.resolve())
    config = resolve(verl_config(job, files))
    for key, value in reward_config(job.reward, job.sampling.max_response_tokens).items():
        OmegaConf.update(config, key, value, force_add=True)
    validate(config)
    trainer = VerlTrainer(config, job, tokenizer, stop_ids_in(job.policy, tokenizer))
    trainer.init()
    return trainer


def _train(trainer: VerlTrainer, job: TrainJob, inputs: Inputs, stop: threading.Event, beat: Beat) -> None:
    work, workers, identity = Workspace(job.checkpoints / "outputs"), trainer.actor_rollout_wg, job.identity()
    actor, layers = VerlActor(job, trainer), inputs.layers
    done = resume(workers, job, work, identity)
    if done == 0:
        work.add([write_run(work.root, job)])
    _note_placement(trainer)
    events = log_dir() / "tensorboard" if job.systems.tensorboard and log_dir() else None
    label, cut = f"train {job.run} seed {job.seed}", []
    with (
        Board(events, done + 1) as board,
        Progress(label, job.train.steps) as progress,
        StepLog(job, layers, work, board, progress) as log,
    ):
        for step in range(done + 1, job.train.steps + 1):
            if step == done + 1 and stop.is_set():
                raise SystemExit(STOPPED)
            trainer.hand_over(step - 1)
            beat()
            sample = sampler(job, inputs.tokenizer, cut, functools.partial(trainer.generate, step=step, beat=beat))
            rollouts = collect(job, step, inputs.questions, inputs.order, inputs.tokenizer, sample, trainer.reward)
            trainer.rest()
            record = run_step(actor, job, layers, step, rollouts, beat)
            log.add(record)
            last, stopping = step == job.train.steps, stop.is_set()
            if last or step in job.train.keep_steps:
                folder = work.root / "policy" / f"step={step:05d}"
                export_policy(workers, job.policy, folder, job.train.dtype)
                log.join()
                work.add([folder])
            if last or step % job.systems.checkpoint_every == 0 or stopping:
                log.join()
                save(workers, job, work, identity, step)
                beat()
            if stopping and not last:
                _log.info("%s: stopped by SIGTERM after step %d; run it again to go on", label, step)
                raise SystemExit(STOPPED)
    if cut:
        _log.info("%s: %d prompts were cut on the left to %d tokens", label, len(cut), job.sampling.max_prompt_tokens)
    work.publish(job.targets())


class StepLog:
    """Writes a step's tables in a thread while the next step runs; at most one step is waiting or being written."""

    def __init__(
        self, job: TrainJob, layers: tuple[int, ...], work: Workspace, board: Board, progress: Progress
    ) -> None:
        self._job, self._layers, self._work, self._board, self._progress = job, layers, work, board, progress
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="step-log")
        self._pending: Future | None = None

    def __enter__(self) -> "StepLog":
        return self

    def add(self, record: StepRecord) -> None:
        """Write `record` after what was given before it; an error of that one is raised here."""
        self.join()
        self._pending = self._pool.submit(self._write, record)

    def join(self) -> None:
        """Wait until everything is on disk and entered in the workspace."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _write(self, record: StepRecord) -> None:
        summary = summarise(record, self._layers, self._job.clip_range)
        self._work.add(write_tables(self._work.root, self._job, self._layers, record, summary))
        self._board.add(record.step, summary)
        self._progress.update(
            record.step, reward=summary["reward"], accuracy=summary["accuracy"], length=summary["length"]
        )

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True)


def _join_ray(job: TrainJob) -> None:
    address = os.environ.get(ADDRESS_ENV)
    if not address:
        raise UserError(f"{ADDRESS_ENV} is not set: this is started by the train stage, not by hand")
    environment = ray_environment() | {VENDOR_ENV: VENDOR}
    ray.init(address=address, runtime_env={"env_vars": environment}, log_to_driver=True)


def _heartbeat(job: TrainJob) -> Beat:
    """A function that touches the file by which the watchdog sees that the run goes on."""
    path = job.checkpoints / HEARTBEAT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path.touch


def _note_placement(trainer: VerlTrainer) -> None:
    """Which process runs where: provenance, in the log folder."""
    if folder := log_dir():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "placement.json").write_text(json.dumps(trainer.placement(), indent=2) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    from tokenspectrum.training.backends.verl.launch import load_job

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", type=Path, required=True, help="file that launch.py wrote")
    args = parser.parse_args(argv)
    _configure_logging()
    try:
        run(load_job(args.job))
    except Exception as e:
        # A mistake of the user's is one line; anything else shows where it came from first.
        if not isinstance(e, UserError):
            traceback.print_exc()
        print(f"error: {one_line(e)}", file=sys.stderr, flush=True)
        # Not sys.exit: Ray's own threads may wait for a cluster that is gone.
        os._exit(1)


def _configure_logging() -> None:
    """Our messages to the driver's log and to the stage's; verl has made its own arrangements by now."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if folder := log_dir():
        folder.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(folder / "stage.log", mode="a"))
    own = logging.getLogger("tokenspectrum")
    own.setLevel(logging.INFO)
    own.propagate = False
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
        own.addHandler(handler)


def one_line(error: BaseException) -> str:
    """What went wrong, without a worker's traceback: its last line says it."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ray.exceptions.RayTaskError) and error.cause is not None:
        return f"{type(error.cause).__name__} in a worker: {str(error.cause).strip().splitlines()[0]}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, ray.exceptions.RayActorError):
        started = re.search(r"creation task, \S*?ray::(\S+)\.__init__", str(error))
        return f"{started[1]} did not start: {lines[-1]}" if started else f"a worker died: {' '.join(lines)[:300]}"
    said = lines[-1] if lines else "no message"
    return f"{type(error).__name__}: {said}"


if __name__ == "__main__":
    main()
