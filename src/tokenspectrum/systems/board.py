"""Write TensorBoard events of a run into the stage's log folder, not among its outputs.  Knows names and numbers."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class Board:
    """`with Board(folder, first_step) as board: board.add(step, {"reward": 0.5})`; without a folder it does nothing."""

    def __init__(self, folder: Path | None, first_step: int) -> None:
        # A resumed run repeats the steps after its checkpoint.  So points from first_step on are drawn again.
        self._writer = None if folder is None else SummaryWriter(str(folder), purge_step=first_step)

    def __enter__(self) -> "Board":
        return self

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        """Add one point to each curve.  A list becomes its mean; text and what is missing are left out."""
        if self._writer is None:
            return
        for name, value in values.items():
            numbers = [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, int | float)]
            if numbers:
                self._writer.add_scalar(f"train/{name}", math.fsum(numbers) / len(numbers), step)

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()
