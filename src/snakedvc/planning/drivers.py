"""Know which Snakemake drivers are alive in this project, so that the lock of a killed driver does not block the next.

Snakemake's own lock is a list of files that does not name its holder.  Here every driver holds an flock as long as it
lives, and registers before Snakemake writes its list.  If no driver is alive, any list is from a dead one.
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
# Locks that are held until this process ends.  Child processes do not inherit them.
_held = contextlib.ExitStack()
_own: set[Path] = set()
atexit.register(_held.close)


def _dead() -> tuple[list[Path], bool]:
    """The files of drivers that have ended, and whether any other is still alive."""
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
    """Prevent drivers from starting within the block; a ProjectError if one is alive already."""
    with exclusive(DRIVERS / ".lock"):
        if _dead()[1]:
            raise ProjectError("Snakemake runs in this project: wait until it has ended, or stop it")
        yield


def _name(path: Path) -> dict[str, str]:
    try:
        return json.loads(path.read_text())
    except ValueError:  # killed while it registered
        return {}


def at_work() -> str:
    """The line for a driver that would make files which another one makes."""
    others = [_name(path) for path in DRIVERS.glob("*.driver") if path not in _own and path not in _dead()[0]]
    if not others:
        return "error: files are locked, and no driver works here: if none runs elsewhere, `snakemake --unlock`"
    who = " and ".join(f"process {one.get('pid', '?')} on {one.get('host', '?')}" for one in others)
    return (
        f"error: Snakemake runs in this project already ({who}) and makes some of these files: wait for it, or stop it"
    )


def register(snakemake_locks: Path) -> None:
    """Register this process, and remove what killed drivers of this host left in Snakemake's folder of locks."""
    here = socket.gethostname()
    with exclusive(DRIVERS / ".lock"):
        dead, alive = _dead()
        left = sorted(snakemake_locks.glob("*.lock"))
        elsewhere = [d for d in map(_name, dead) if d.get("host", here) != here]
        if left and not alive and elsewhere:
            # Its flock is free, but on some file systems only its own host would see that it is held.
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
        _own.add(own)
        own.write_text(json.dumps({"host": here, "pid": str(os.getpid())}))
        _held.callback(own.unlink, missing_ok=True)
