"""Write a step's record: its tables, its points on the board and its line of progress.

It writes at once, or one step behind while the next step runs.  Knows a step's record and where files go.  Knows no
policy.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from tokenspectrum.rollout.judged import response_columns
from tokenspectrum.systems.board import Board
from tokenspectrum.systems.progress import Progress
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.record import StepRecord
from tokenspectrum.training.steplog import summarise, write_tables
from tokenspectrum.training.workspace import Workspace

# Of the responses that a tracker shows.
TOLD = ("prompt_id", "text", "answer", "reward", "correct", "n_tokens")


class StepLog:
    """`behind`: a thread writes a step while the next one runs; at most one step is waiting or being written."""

    def __init__(
        self,
        job: TrainJob,
        layers: Sequence[int],
        work: Workspace,
        board: Board,
        progress: Progress,
        *,
        behind: bool,
    ) -> None:
        self._job, self._layers, self._work, self._board, self._progress = job, layers, work, board, progress
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="step-log") if behind else None
        self._pending: Future[None] | None = None

    def __enter__(self) -> "StepLog":
        return self

    def add(self, record: StepRecord) -> None:
        """Write `record` after the one before it.  An error of the earlier write is raised here."""
        self.join()
        if self._pool is None:
            self._write(record)
        else:
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
        told = response_columns(record.rollouts.judged)
        self._board.responses(record.step, {name: told[name] for name in TOLD})
        shown = {name: summary[name] for name in ("reward", "accuracy", "length")}
        self._progress.update(record.step, **shown)

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
