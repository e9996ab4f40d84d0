"""Ends the driver if a part of the job has died, so that the driver does not wait for it.

If a vLLM engine is gone, the main thread waits for ever when it sends it weights.  So another thread asks whether all
parts are alive.  Knows the function that tells.  Does not know the parts.
"""

import os
import sys
import threading
from collections.abc import Callable

_EVERY_S = 3.0


class Vitals:
    """`with Vitals(dead): ...` calls `dead` every few seconds.  If it returns a line, the driver ends with it."""

    def __init__(self, dead: Callable[[], str | None], every: float = _EVERY_S) -> None:
        self._dead, self._every, self._over = dead, every, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vitals", daemon=True)

    def __enter__(self) -> "Vitals":
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(self._every):
            said = self._dead()
            if said and not self._over.wait(self._every):
                # Meanwhile the main thread may have ended by itself or found the same error.
                print(f"error: {said}", file=sys.stderr, flush=True)
                os._exit(1)

    def __exit__(self, *error: object) -> None:
        self._over.set()
