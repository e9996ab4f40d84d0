"""What tells a file from another one that was put in its place.  Knows no tables."""

import os
from pathlib import Path

Mark = tuple[int, int, int]


def mark(path: Path) -> Mark:
    """Size and times of a file, by which another one in its place is told; zeros where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
