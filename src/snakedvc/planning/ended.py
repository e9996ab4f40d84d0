"""What the driver says when it was stopped.  Knows the journal of the runners."""

import json
import time

from snakedvc.dvcfiles.store import say
from snakedvc.running.journal import RUNNER_LOG

_STARTED = int(time.time())  # of the driver, which imports this first of all


def say_if_interrupted() -> None:
    """After Ctrl-C: one line below what Snakemake says of the jobs that it ended."""
    lines = RUNNER_LOG.read_text().splitlines() if RUNNER_LOG.exists() else []
    recent = (json.loads(line) for line in lines[-1000:])
    if any(entry["how"] == "interrupted" and entry["at"] >= _STARTED for entry in recent):
        say("stopped; the same command goes on")
