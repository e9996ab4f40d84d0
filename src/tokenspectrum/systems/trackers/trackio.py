"""Trackio, which keeps a run in a database of its own on this machine: `trackio show --project tokenspectrum`.

The database lies in the run's log folder, unless TRACKIO_DIR names another place.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

# Read when the library is imported; an address in the user's environment stays.
FOLDER = "TRACKIO_DIR"


class Tracker:
    """One run of the project tokenspectrum."""

    def __init__(self, folder: Path, name: str, first_step: int) -> None:
        os.environ.setdefault(FOLDER, str(folder.absolute()))
        import trackio

        self._trackio = trackio
        self._run = trackio.init(
            project="tokenspectrum", name=name, resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False
        )

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def table(self, step: int, rows: Sequence[Mapping[str, object]]) -> None:
        table = self._trackio.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])
        self._run.log({"responses": table}, step=step)

    def close(self) -> None:
        self._run.finish()
