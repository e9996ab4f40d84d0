"""Ends a job that hangs.  The driver touches a file when a phase ends.  A phase that takes too long counts as hanging.

The limit is systems.verl.start_timeout until the workers are up, and systems.verl.stall_timeout after that.  Knows one
file and two limits.
"""

import time
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.systems.params import VerlSystems

_UP = 2  # touches: one when the driver starts, one when all workers are up


class Watchdog:
    """Call `check` often.  It times changes of the file by its own clock, since another machine may hold the file."""

    def __init__(self, heartbeat: Path, systems: VerlSystems) -> None:
        self.heartbeat, self.systems = heartbeat, systems
        heartbeat.unlink(missing_ok=True)
        self._seen: float | None = None
        self._touches = 0
        self._since = time.monotonic()

    def check(self) -> None:
        """Raise UserError if the driver has not touched the file for too long."""
        now = time.monotonic()
        try:
            touched = self.heartbeat.stat().st_mtime_ns
        except FileNotFoundError:
            touched = None
        if touched is not None and touched != self._seen:
            self._seen, self._touches = touched, self._touches + 1
            if self._touches != 1:
                self._since = now
        silent = now - self._since
        if self._touches < _UP and silent > self.systems.start_timeout:
            raise UserError(
                f"the workers and vLLM are not up after {self.systems.start_timeout:g} s (systems.verl.start_timeout)"
            )
        if self._touches >= _UP and silent > self.systems.stall_timeout:
            raise UserError(
                f"no progress for {self.systems.stall_timeout:g} s (systems.verl.stall_timeout): a worker or the "
                "hand-over of weights to vLLM hangs"
            )
