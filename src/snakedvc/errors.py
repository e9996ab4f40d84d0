"""The exception for mistakes that a user of the project can correct, and what is said where a disk takes nothing."""

import errno


class ProjectError(Exception):
    """A mistake in a file, a missing input, a refused result.  Printed as one line, without a traceback."""


def no_room(error: BaseException) -> str | None:
    """What to say where a disk of this machine takes nothing; None if something else went wrong."""
    if not isinstance(error, OSError):
        return None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full: free some room (`snakedvc gc`), run again; nothing was kept"
    if error.errno == errno.EROFS:
        return f"{error.filename}: this disk can only be read: make it writable, run again; nothing was kept"
    return None
