"""Run a stage's command from its frozen copy, with its output in a log.

The frozen code is first on the command's PYTHONPATH.  Its environment says where its params, logs and checkpoints are,
and which files params name for it.
It may end with STOPPED.  Then it was told to stop and wrote a checkpoint, and the same command resumes there.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from snakedvc.dvcfiles.pipeline import Stage
from snakedvc.dvcfiles.record import CODE_ROOT
from snakedvc.errors import ProjectError

PARAMS_ENV, LOG_DIR_ENV, CHECKPOINT_ENV = "SNAKEDVC_PARAMS", "SNAKEDVC_LOG_DIR", "SNAKEDVC_CHECKPOINT_DIR"
NAMED_ENV = "SNAKEDVC_NAMED"
STOPPED = 75


class StageFailedError(ProjectError):
    """The stage's own command failed."""


class StoppedError(ProjectError):
    """The stage's command was told to stop, and left a checkpoint to resume from."""


def last_words(log: Path) -> str:
    """The reason why a command failed, from its log: its error line, or the end of its traceback."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    if lines and lines[-1].startswith("error: "):
        return lines[-1].removeprefix("error: ")
    tail = "\n  ".join(lines[-12:])
    hint = "\n(an import that dvc.yaml does not list? run `snakedvc deps`)" if "ModuleNotFoundError" in tail else ""
    return f"its command failed; the end of {log}:\n  {tail}{hint}"


def execute(stage: Stage, frozen: Path, checkpoints: Path, log: Path, lock: int) -> None:
    """Run the stage's command from the frozen copy with its output in `log`.  StageFailedError if it fails."""
    stage.log_dir.mkdir(parents=True, exist_ok=True)
    checkpoints.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    for out in stage.outs:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
    code = os.path.abspath(frozen / CODE_ROOT)
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")])),
        "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", os.defpath),
        PARAMS_ENV: os.path.abspath(frozen / "params.yaml"),
        LOG_DIR_ENV: os.path.abspath(stage.log_dir),
        CHECKPOINT_ENV: os.path.abspath(checkpoints),
        NAMED_ENV: "\n".join(stage.named),
        "PYTHONUTF8": "1",  # what a stage reads and writes as text is UTF-8, whatever the locale says
    }
    with log.open("wb") as f:
        # The command inherits the stage's lock: if this process is killed, the next run waits for the command's end.
        # It gets a process group of its own, so that the shell and its children can be ended together.  The trap makes
        # the shell wait for its children.  Without it a signal would end the shell at once, before a checkpoint is
        # written.
        command = f"trap : TERM\n{stage.cmd}"
        process = subprocess.Popen(
            command, shell=True, env=env, stdout=f, stderr=subprocess.STDOUT, pass_fds=[lock], process_group=0
        )
        try:
            status = process.wait()
        except BaseException as e:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm and the guard of its job may both send it
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(process.pid, signal.SIGTERM)  # training writes a checkpoint before it ends
            status = process.wait()
            # It was told to stop when it was done already.  Its outputs are complete.
            if not (isinstance(e, SystemExit) and status in (0, STOPPED)):
                raise
    if status == STOPPED:
        raise StoppedError(f"{stage.addr}: stopped after a checkpoint; run it again to go on")
    if status:
        raise StageFailedError(f"{stage.addr}: {last_words(log)}")
    for out in stage.outs:
        if not os.path.exists(out):
            raise StageFailedError(f"{stage.addr}: its command succeeded without writing {out}")
