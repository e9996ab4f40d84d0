"""What a driver process on Ray needs: join Ray, show that it is alive, log, and report an error in one line.

Knows Ray's client and its errors.  Knows nothing of the work.
"""

import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import ray

from tokenspectrum.errors import UserError
from tokenspectrum.systems.progress import log_dir
from tokenspectrum.systems.ray.launch import ADDRESS_ENV, HEARTBEAT
from tokenspectrum.systems.sigterm import kept_handler

# What gloo and NCCL say in a worker when another one is gone.  It may come before Ray's own word.
_PARTNER_GONE = re.compile(r"connection (reset|closed) by peer|broken pipe|remote process exited", re.IGNORECASE)


def join_ray(environment: Mapping[str, str]) -> None:
    """Connect to the cluster that launch.py brought up; `environment` is for all processes that Ray starts for us."""
    address = os.environ.get(ADDRESS_ENV)
    if not address:
        raise UserError(f"{ADDRESS_ENV} is not set: this is started by the train stage, not by hand")
    with kept_handler():  # Ray replaces our handler by its own
        ray.init(address=address, runtime_env={"env_vars": dict(environment)}, log_to_driver=True)


def heartbeat(folder: Path) -> Callable[[], None]:
    """A function that touches the file which the watchdog reads.  The file is touched once before it is returned."""
    path = folder / HEARTBEAT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path.touch


def drive(work: Callable[[], None]) -> None:
    """Log to where the launcher looks, and do `work`; an error is the last line `error: ...` and exit code 1."""
    _configure_logging()
    try:
        work()
    except Exception as e:
        # A user's mistake is one line.  Any other error shows its traceback before that line.
        if not isinstance(e, UserError):
            traceback.print_exc()
        print(f"error: {one_line(e)}", file=sys.stderr, flush=True)
        # sys.exit would wait for Ray's own threads, which may wait for a cluster that is gone.
        os._exit(1)


def _configure_logging() -> None:
    """Send our messages to the driver's log and to the stage's.  The libraries have set up their own logging before."""
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
    """What went wrong in one line: of a worker's traceback only the last line."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ray.exceptions.RayTaskError) and error.cause is not None:
        said = str(error.cause).strip().splitlines()[0]
        if _PARTNER_GONE.search(said):
            return f"a worker died: another one lost it: {said}"
        return f"{type(error.cause).__name__} in a worker: {said}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, ray.exceptions.RayActorError):
        started = re.search(r"creation task, \S*?ray::(\S+)\.__init__", str(error))
        return f"{started[1]} did not start: {lines[-1]}" if started else f"a worker died: {' '.join(lines)[:300]}"
    said = lines[-1] if lines else "no message"
    return f"{type(error).__name__}: {said}"
