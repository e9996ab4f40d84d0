"""Weights & Biases, offline: `wandb sync logs/train/<run>/wandb/wandb/offline-run-*` sends a run when its owner wants.

WANDB_MODE=online in the environment sends it at once.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from tokenspectrum.systems.board import Row


class Tracker:
    """One run of the project tokenspectrum."""

    def __init__(self, folder: Path, name: str, first_step: int) -> None:
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True)
        self._run = wandb.init(project="tokenspectrum", name=name, dir=str(folder), mode=mode, settings=settings)
        # A step that comes again after a checkpoint is a second point on its own axis, as steps may not go back.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def table(self, step: int, rows: Sequence[Row]) -> None:
        table = wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])
        self._run.log({"step": step, "responses": table})

    def close(self) -> None:
        self._run.finish()
        # An offline run's file is written by wandb's service, which ends when it has written all.
        wandb.teardown()
