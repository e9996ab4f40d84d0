"""Lets a test act while a stage runs: with TOY_GATE=NAME:PATH, stage NAME touches PATH.started and waits for PATH."""

import os
import time
from pathlib import Path


def gate(name):
    wanted, _, path = os.environ.get("TOY_GATE", "").partition(":")
    if wanted == name:
        Path(path + ".started").touch()
        end = time.time() + 300
        while not Path(path).exists() and time.time() < end:
            time.sleep(0.01)
