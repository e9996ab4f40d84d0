"""Ends the driver when a part of the job has died that the driver would wait for.

When a vLLM engine is gone, handing weights over to it waits for ever, and the main thread with it.  So another thread
asks whether all are alive.  Knows the question to ask.  Does not know of whom.
"""

import os
import sys
import threading
from collections.abc import Callable

_EVERY_S = 3.0


class Vitals:
    """`with Vitals(dead): ...` asks `dead` every few seconds; an answer is the driver's last line."""

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
                # In the meantime the main thread may have ended by itself, or found the same.
                print(f"error: {said}", file=sys.stderr, flush=True)
                os._exit(1)

    def __exit__(self, *error: object) -> None:
        self._over.set()
