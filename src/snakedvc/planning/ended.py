"""What the driver says when it was stopped.  Knows the journal of the runners."""

import json
import logging
import os
import time

from snakedvc.dvcfiles.store import say
from snakedvc.planning.internals import terminal_handlers
from snakedvc.running.journal import RUNNER_LOG

_STARTED = int(time.time())  # of the driver, which imports this first of all


def was_interrupted() -> bool:
    """Whether Ctrl-C reached a runner of this driver."""
    try:
        lines = RUNNER_LOG.read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(map(_is_ours, lines[-1000:]))


def _is_ours(line: str) -> bool:
    try:
        entry = json.loads(line)
        return entry["how"] == "interrupted" and entry["at"] >= _STARTED and entry["driver"] == os.getpid()
    except (ValueError, KeyError, TypeError):
        return False  # half a line, on a full disk; or of an older version


def _is_said(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or not was_interrupted()


def end_in_one_line() -> None:
    """After Ctrl-C keep Snakemake's errors off the terminal: each job that it ended is one.  Its log file has them."""
    for handler in terminal_handlers():
        handler.addFilter(_is_said)


def say_if_interrupted() -> None:
    """After Ctrl-C: one line at the end of what Snakemake says."""
    if was_interrupted():
        say("stopped; the same command goes on")
