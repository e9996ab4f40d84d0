"""The disk is full at random moments: the project lies on a small tmpfs, and a file takes all room but a little.

The run must say so in a line.  When there is room again the same command goes on.  Needs root, for the mount.
"""

import contextlib
import errno
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hazards.kills import settle
from hazards.project import Driver, Project, Row, clear, copy_of, difference, finish, last_line

SIZE = "192m"
EARLIEST_S, LATEST_S = 0.2, 8.0
MOST_LEFT = 256 << 10


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A tmpfs at `folder`."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "reliability", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(ballast: Path, left: int) -> None:
    """Take all room of the disk but `left` bytes."""
    with ballast.open("wb") as f:
        for _ in range(100):
            state = os.statvfs(ballast.parent)
            try:
                return os.posix_fallocate(f.fileno(), 0, max(1, state.f_bavail * state.f_frsize - left))
            except OSError as e:
                if e.errno != errno.ENOSPC:  # the run took room in between
                    raise


def full_disk(fresh: Project, folder: Path, reference: dict[str, str], count: int, seed: int) -> Iterator[Row]:
    """`count` times no room is left while a run is at work, over as many runs as that takes."""
    rng = random.Random(seed)
    with small_disk(folder) as disk:
        clone, ballast, hit = copy_of(fresh, disk / "project"), disk / "ballast", []
        total = 0
        while total < count:
            driver = Driver(clone, logs=disk.parent)
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.process.wait(rng.uniform(EARLIEST_S, LATEST_S))
            if not driver.ended():
                left = rng.randrange(MOST_LEFT)
                fill(ballast, left)
                code = driver.wait()
                ballast.unlink()
                total += 1
                hit.append((f"{left} bytes left while {where(driver.said())} ran", said_of(driver, code)))
            if driver.process.returncode == 0:
                yield from _judged(clone, reference, hit, seed)
                hit = []
                clear(clone)
        complaint = finish(clone, logs=disk.parent)
        yield from _judged(clone, reference, hit, seed, complaint)


def where(said: str) -> str:
    """The job that the driver began last."""
    begun = [line.partition(": ")[2].strip() for line in said.splitlines() if line.startswith("Job ")]
    return begun[-1] if begun else "the driver"


def said_of(driver: Driver, code: int) -> str:
    """What the user was told."""
    said = driver.said()
    if code == 0:
        return "went on"
    trace = " (with a traceback)" if "Traceback" in said else ""
    named = next((line.strip() for line in said.splitlines() if "disk is full" in line), "")
    return f"said: {named or last_line(said)}{trace}"[:240]


def _judged(
    clone: Project, reference: dict[str, str], hit: list[tuple[str, str]], seed: int, complaint: str = ""
) -> Iterator[Row]:
    settle(clone)
    wrong = complaint or difference(clone, reference)
    for place, said in hit:
        yield Row("disk full", place, seed, wrong or f"{said}; then goes on, same bytes", int(bool(wrong)))
