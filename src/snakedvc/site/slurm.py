"""What a stage's runner does as a Slurm job: it shows itself to the guard in job.sh and to squeue, and requeues itself.

Outside Slurm every function does nothing.  Knows no stage and no Snakemake.
"""

import contextlib
import os
import subprocess
import time
from pathlib import Path

# job.sh of the Slurm profile sets both.  The first names the file where the job's guard finds the process to stop.
PID_ENV = "SNAKEDVC_PID"
GUARD_ENV = "SNAKEDVC_JOB"
# How long to wait for Slurm to end the job after a requeue: longer than any site's KillWait.
_PATIENCE_S = 600.0


def job_id() -> str | None:
    """The batch job of this process; None outside a job, or without a guard (in an interactive allocation)."""
    job = os.environ.get("SLURM_JOB_ID")
    return job if job and os.environ.get(GUARD_ENV) == job else None


def _name(job: str) -> str:
    """The name of `job` for scontrol.  For this job in an array, name this task alone: its id may be the array's."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task and job == job_id() else job


def _scontrol(*args: str) -> str | None:
    try:
        done = subprocess.run(["scontrol", *args], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _state(job: str) -> str:
    shown = (_scontrol("--oneliner", "show", "job", _name(job)) or "").split()
    return next((word.removeprefix("JobState=") for word in shown if word.startswith("JobState=")), "UNKNOWN")


def announce(addr: str) -> None:
    """Show this process to the guard, and write the stage's name into squeue's comment (%k), in array jobs too."""
    if job_id() and (path := os.environ.get(PID_ENV)):
        Path(path).write_text(str(os.getpid()))
        _scontrol("update", f"JobId={_name(job_id() or '')}", f"Comment={addr}")


def requeue(after: str | None = None) -> bool:
    """Put this job back into the queue, behind job `after` if given, and wait for Slurm to end it.

    False if there is no job, or if Slurm does not requeue it.  Then the job fails, and Snakemake submits a new one.
    A job that was cancelled or has run out of time is not requeued.
    """
    job = job_id()
    if job is None or _state(job) != "RUNNING" or _scontrol("requeue", _name(job)) is None:
        return False
    if after:
        _scontrol("update", f"JobId={_name(job)}", f"Dependency=afterany:{after}")
    with contextlib.suppress(SystemExit):  # raised by the SIGTERM with which Slurm ends the job
        time.sleep(_PATIENCE_S)
    return True


def sign(lock: int) -> None:
    """Write this job's id into a lock file that it holds; nothing outside a job."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, (job_id() or "").encode(), 0)


def holder(lock: Path) -> str | None:
    """The other job that signed a lock file, if it still runs; None outside a job."""
    if job_id() is None or not lock.exists():
        return None
    other = lock.read_text()
    return other if other not in ("", job_id()) and _state(other) in ("RUNNING", "SUSPENDED") else None
