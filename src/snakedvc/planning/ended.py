"""What the driver says when it was stopped.  Knows the journal of the runners."""

import json
import logging
import time

from snakedvc.dvcfiles.store import say
from snakedvc.planning.internals import terminal_handlers
from snakedvc.running.journal import RUNNER_LOG

_STARTED = int(time.time())  # of the driver, which imports this first of all


def was_interrupted() -> bool:
    """Whether Ctrl-C reached a runner since this driver started."""
    lines = RUNNER_LOG.read_text().splitlines() if RUNNER_LOG.exists() else []
    recent = (json.loads(line) for line in lines[-1000:])
    return any(entry["how"] == "interrupted" and entry["at"] >= _STARTED for entry in recent)


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
