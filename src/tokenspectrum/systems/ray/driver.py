"""What a driver process on Ray needs: to join Ray, to say that it lives, to log, and to name an error in one line.

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


def join_ray(environment: Mapping[str, str]) -> None:
    """Connect to the cluster that launch.py brought up; `environment` is for all processes that Ray starts for us."""
    address = os.environ.get(ADDRESS_ENV)
    if not address:
        raise UserError(f"{ADDRESS_ENV} is not set: this is started by the train stage, not by hand")
    with kept_handler():  # Ray puts a handler of its own in the place of ours
        ray.init(address=address, runtime_env={"env_vars": dict(environment)}, log_to_driver=True)


def heartbeat(folder: Path) -> Callable[[], None]:
    """A function that touches the file by which the watchdog sees that the run goes on; touched once already."""
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
        # A mistake of the user's is one line; anything else shows where it came from first.
        if not isinstance(e, UserError):
            traceback.print_exc()
        print(f"error: {one_line(e)}", file=sys.stderr, flush=True)
        # Not sys.exit: Ray's own threads may wait for a cluster that is gone.
        os._exit(1)


def _configure_logging() -> None:
    """Our messages to the driver's log and to the stage's; the libraries have made their own arrangements by now."""
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
