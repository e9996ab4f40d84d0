"""A stage of the toy project that waits until the test lets it go on."""

import time

from bridge_kit import Toy


def wait_for(path, seconds: float = 120.0) -> None:
    end = time.time() + seconds
    while not path.exists():
        assert time.time() < end, f"{path} never came"
        time.sleep(0.01)


def start_gated(toy: Toy, addr: str):
    """Start a stage that waits for `gate`; returns the process and the gate once the stage is waiting."""
    gate = toy.root / "gate"
    process = toy.start(addr, TOY_GATE=f"{addr.partition('@')[0]}:{gate}")
    wait_for(toy.root / "gate.started")
    return process, gate
