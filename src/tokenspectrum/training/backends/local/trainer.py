"""Trainer `local`: DAPO on one machine, bitwise repeatable on a CPU.  Its class is in backend.py."""

from tokenspectrum.training import loop
from tokenspectrum.training.backends.local.backend import LocalBackend
from tokenspectrum.training.job import TrainJob


def train(job: TrainJob) -> None:
    """Train to the last step and publish job.out.  Raises UserError on bad input, SystemExit(STOPPED) after SIGTERM."""
    loop.train(job, LocalBackend.start)
