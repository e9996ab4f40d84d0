"""How a long stage obeys SIGTERM.  Training finishes its step, saves, and exits with STOPPED.  Any other stage exits
at once, and removes what is no output; one whose parts are kept loses only the part that it is at.  A download is
killed.  Knows a signal.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOPPED = 75  # EX_TEMPFAIL: not finished, no error; start it again to go on
# As a killed process.  A job that stops before it has kept anything new fails, and does not go back into a queue for
# ever.
NOTHING_NEW = 128 + signal.SIGTERM


@contextmanager
def stop_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM sets.  At the end the earlier handler is restored."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested
        return
    before = signal.signal(signal.SIGTERM, lambda *_: requested.set())
    try:
        yield requested
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def exit_at_once(went_on: Callable[[], bool]) -> Iterator[None]:
    """SIGTERM raises SystemExit: with STOPPED if `went_on` says that a part was kept since the start.

    Otherwise with NOTHING_NEW.  From then on SIGTERM is ignored, until the process has ended: who ends a job may send
    it twice, and a second one would leave behind what the blocks around this one remove, or be the way it ended.
    """

    def leave(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(STOPPED if went_on() else NOTHING_NEW)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def kills() -> Iterator[None]:
    """SIGTERM kills the process: for a download, whose threads would be waited for, and which leaves nothing here."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def kept_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM at the end of the block, because some libraries install their own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        _restore(before)


def _restore(before: Any) -> None:
    """The handler of before, unless the process is on its way out (`exit_at_once`)."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, before)
