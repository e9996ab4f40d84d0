"""A run's numbers and some of its responses, step by step, in the tracker that params name; none of it is an output.

A tracker is a module of trackers/ with a class Tracker.  Its library is imported when it is chosen.  Trackers write
files in the stage's log folder; nothing is sent anywhere unless the user's own environment says so.  Knows names,
numbers and texts.
"""

import math
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tokenspectrum.errors import UserError
from tokenspectrum.systems import trackers
from tokenspectrum.systems.params import SystemsParams

Row = Mapping[str, str | int | float | bool | None]


class Tracker(Protocol):
    """What a module of trackers/ brings as its class Tracker."""

    def __init__(self, folder: Path, name: str, first_step: int) -> None:
        """`folder` is the run's own, `name` what the run is called.  Steps from `first_step` on may come again."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """A point on each curve."""

    def table(self, step: int, rows: Sequence[Row]) -> None:
        """Responses of this step: a row each, all with the same columns."""

    def close(self) -> None:
        """Write what is left."""


class Board:
    """`with Board(systems, folder, name, first_step) as board: board.add(step, {"reward": 0.5})`.

    Without a log folder, and with tracker none, it does nothing.
    """

    def __init__(self, systems: SystemsParams, logs: Path | None, name: str, first_step: int) -> None:
        self._every = systems.tracker_responses.every
        self._most = systems.tracker_responses.count
        self._tracker: Tracker | None = None
        if logs is not None and systems.tracker != "none":
            self._tracker = _open(systems.tracker, logs / systems.tracker, name, first_step)

    def __enter__(self) -> "Board":
        return self

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        """Add one point to each curve.  A list becomes its mean; text and what is missing are left out."""
        if self._tracker is None:
            return
        points = {}
        for name, value in values.items():
            numbers = [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, int | float)]
            if numbers:
                points[f"train/{name}"] = math.fsum(numbers) / len(numbers)
        self._tracker.add(step, points)

    def responses(self, step: int, columns: Mapping[str, Sequence[Any]]) -> None:
        """The first responses of a step, on step 1 and each `every` steps after it."""
        if self._tracker is None or not self._most or (step - 1) % self._every:
            return
        n = min(self._most, len(next(iter(columns.values()))))
        self._tracker.table(step, [{name: column[i] for name, column in columns.items()} for i in range(n)])

    def __exit__(self, *error: object) -> None:
        if self._tracker is not None:
            self._tracker.close()


def _open(kind: str, folder: Path, name: str, first_step: int) -> Tracker:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tracker = pkgutil.resolve_name(f"{trackers.__name__}.{kind}:Tracker")
    except ImportError as e:
        raise UserError(
            f"systems.tracker: {kind} cannot be imported ({e}); pip install 'tokenspectrum[{kind}]', or choose another"
        ) from None
    return tracker(folder, name, first_step)
