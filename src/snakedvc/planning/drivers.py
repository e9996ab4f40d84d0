"""Which Snakemake drivers live in this project, so that a killed one's lock does not stand in the next one's way.

 Snakemake's own lock is a list of files that says nothing of who holds it.  Here every driver holds an flock of its
own for as long as it lives, and registers before Snakemake writes its list.  Where nobody lives, a list is a dead
driver's.
"""

import atexit
import contextlib
import json
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

from snakedvc.dvcfiles.locks import attempt, exclusive
from snakedvc.dvcfiles.store import say
from snakedvc.errors import ProjectError

DRIVERS = Path(".dvc/tmp/drivers")
# Held until this process ends, and never inherited.
_held = contextlib.ExitStack()
atexit.register(_held.close)


def _dead() -> tuple[list[Path], bool]:
    """The files of drivers that have ended, and whether any other still lives."""
    dead, alive = [], False
    for path in DRIVERS.glob("*.driver"):
        with attempt(path) as free:
            if free is None:
                alive = True
            else:
                dead.append(path)
    return dead, alive


@contextlib.contextmanager
def none_may_start() -> Iterator[None]:
    """Keep drivers from starting within the block; a ProjectError if one lives already."""
    with exclusive(DRIVERS / ".lock"):
        if _dead()[1]:
            raise ProjectError("Snakemake runs in this project: wait until it has ended, or stop it")
        yield


def _name(path: Path) -> dict[str, str]:
    try:
        return json.loads(path.read_text())
    except ValueError:  # killed while it registered
        return {}


def register(snakemake_locks: Path) -> None:
    """Register this process, and remove what killed drivers of this host left in Snakemake's folder of locks."""
    here = socket.gethostname()
    with exclusive(DRIVERS / ".lock"):
        dead, alive = _dead()
        left = sorted(snakemake_locks.glob("*.lock"))
        elsewhere = [d for d in map(_name, dead) if d.get("host", here) != here]
        if left and not alive and elsewhere:
            # Its flock is free, but on some file systems a lock is only seen by its own host.
            who = elsewhere[0]
            say(
                f"a driver on {who['host']} (process {who['pid']}) left Snakemake's lock: if it no longer runs there, "
                "run `snakemake --unlock` and start again"
            )
            dead = []
        elif left and not alive and dead:
            for path in left:
                path.unlink(missing_ok=True)
            say("removed the lock of a driver that was killed")
        if not alive:
            for path in dead:
                path.unlink(missing_ok=True)
        own = DRIVERS / f"{here}-{os.getpid()}-{uuid.uuid4().hex[:8]}.driver"
        _held.enter_context(exclusive(own))
        own.write_text(json.dumps({"host": here, "pid": str(os.getpid())}))
        _held.callback(own.unlink, missing_ok=True)
