"""Locks between processes, on any hosts that share the project's file system, and the mark of half-written outputs.

 A lock is `flock` on a file of its own: the kernel drops it when its last holder ends, however that ends.  Knows
stages by their address alone.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from snakedvc.errors import ProjectError

STAGE_LOCKS = Path(".dvc/tmp/run.d")
# A stage's file is here while its outputs are being written.  After a kill it stays, and the outputs are not trusted.
HALF_WRITTEN = Path(".dvc/tmp/writing")
_NO_FLOCK = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


def no_flock(path: Path, why: OSError) -> ProjectError:
    """What to say where a file system has no locks."""
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
    """Hold a lock file; processes that inherit the yielded descriptor hold it too, until the last of them ends."""
    with attempt(path, wait=True) as descriptor:
        assert descriptor is not None
        yield descriptor


@contextlib.contextmanager
def attempt(path: Path, wait: bool = False) -> Iterator[int | None]:
    """As `exclusive`, but None if another process holds the lock and `wait` is false."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield descriptor if _flock(descriptor, path, wait) else None
    finally:
        os.close(descriptor)


def stage_lock(addr: str) -> Path:
    """The lock that whoever writes the outputs of the stage at `addr` holds."""
    return STAGE_LOCKS / f"{addr}.lock"


@contextlib.contextmanager
def writing(addr: str) -> Iterator[None]:
    """Mark the outputs of a stage as half-written within the block."""
    mark(addr)
    try:
        yield
    finally:
        # Also after a failure: whoever fails removes the outputs first.  Only a kill leaves the mark.
        (HALF_WRITTEN / addr).unlink(missing_ok=True)


def mark(addr: str) -> None:
    """Mark the outputs of a stage as half-written until it has run or was restored."""
    path = HALF_WRITTEN / addr
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def half_written(addr: str) -> bool:
    """Whether the stage's outputs are being written now, or were when the writer was killed."""
    return (HALF_WRITTEN / addr).exists()
