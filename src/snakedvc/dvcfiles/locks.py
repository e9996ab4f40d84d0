"""Locks between processes on all hosts that share the project's file system, and the mark of half-written outputs.

A lock is an `flock` on a file of its own.  The kernel releases it when the last holder ends, even after a kill.  Knows
only the addresses of stages.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from snakedvc.errors import ProjectError

STAGE_LOCKS = Path(".dvc/tmp/run.d")
# A stage has a file here while its outputs are written.  Where that does not end the file stays, so the outputs are not
# trusted.
HALF_WRITTEN = Path(".dvc/tmp/writing")
_NO_FLOCK = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


def no_flock(path: Path, why: OSError) -> ProjectError:
    """The error for a file system that has no locks."""
    return ProjectError(
        f"{path}: this file system does not lock files ({why.strerror}), so stages could write over each other: "
        "mount it with flock (Lustre: `-o flock`; NFS: version 4, or 3 with lockd), or put the repository elsewhere"
    )


def _flock(descriptor: int, path: Path, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as e:
        if e.errno in _NO_FLOCK:
            raise no_flock(path, e) from None
        raise
    return True


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[int]:
    """Hold a lock file.  Processes that inherit the yielded descriptor hold it too, until the last of them ends."""
    with attempt(path, wait=True) as descriptor:
        assert descriptor is not None
        yield descriptor


@contextlib.contextmanager
def attempt(path: Path, wait: bool = False) -> Iterator[int | None]:
    """Like `exclusive`, but yields None if another process holds the lock and `wait` is false."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield descriptor if _flock(descriptor, path, wait) else None
    finally:
        os.close(descriptor)


def stage_lock(addr: str) -> Path:
    """The lock of the stage at `addr`.  A process must hold it to write the stage's outputs."""
    return STAGE_LOCKS / f"{addr}.lock"


@contextlib.contextmanager
def writing(addr: str, clear: Callable[[], None]) -> Iterator[None]:
    """Mark the outputs of a stage as half-written within the block.  After a failure `clear` removes them.

    After a kill the mark stays, and so it does where `clear` does not end.
    """
    mark(addr)
    try:
        yield
    except BaseException:
        clear()
        unmark(addr)
        raise
    unmark(addr)


def mark(addr: str) -> None:
    """Mark the outputs of a stage as half-written until it has run or was restored."""
    path = HALF_WRITTEN / addr
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def unmark(addr: str) -> None:
    """The outputs of a stage are whole, or gone."""
    (HALF_WRITTEN / addr).unlink(missing_ok=True)


def being_written() -> Iterator[str]:
    """The stages that run now, on any host: their outputs are marked, and somebody holds their locks.  Sorted."""
    for path in sorted(HALF_WRITTEN.glob("*")):
        with contextlib.suppress(FileNotFoundError), stage_lock(path.name).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                yield path.name


def half_written(addr: str) -> bool:
    """Whether the stage's outputs are written now, or were when their writer was killed."""
    return (HALF_WRITTEN / addr).exists()
