"""How a long stage obeys SIGTERM: it finishes its step, saves, and exits with STOPPED.  Knows a signal and an event."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPPED = 75  # EX_TEMPFAIL: not finished, no error; start it again to go on


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
def kept_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM at the end of the block, because some libraries install their own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
