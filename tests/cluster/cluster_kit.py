"""Launchers of Ray jobs as processes of their own, and all that they start, found again by a mark."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stage_kit import VERL

from tokenspectrum.systems.params import VerlSystems

MARK = "TOKENSPECTRUM_TEST_MARK"
TWO = ("127.0.0.2", "127.0.0.3")


def verl_systems(**changes) -> VerlSystems:
    return VerlSystems(**{**VERL, **changes})


def two_nodes(**changes) -> VerlSystems:
    return verl_systems(nodes=2, node_addresses=TWO, **changes)


def free_ports(n: int) -> list[int]:
    """Ports that nothing listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]


def marked(mark: str, *words: str) -> dict[int, str]:
    """Processes with this mark by pid, each with its command line; only those that hold all `words`."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (entry / "environ").read_bytes().split(b"\0")
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if f"{MARK}={mark}".encode() in variables and all(word in line for word in words):
                found[int(entry.name)] = line
    return found


@dataclass
class Launched:
    """A launcher in a process of its own.  All that it starts, at whatever remove, bears its mark."""

    command: Sequence[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        environment = {**os.environ, **self.environment, MARK: self.mark}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.started = time.monotonic()
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                self.command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait(self, seconds: float) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    @property
    def last_line(self) -> str:
        lines = self.log.read_text().splitlines()
        return lines[-1] if lines else ""

    def processes(self, *words: str) -> dict[int, str]:
        """Its processes, other than itself, whose command lines hold all `words`."""
        found = marked(self.mark, *words)
        found.pop(self.process.pid, None)
        return found

    def kill(self, *words: str) -> None:
        """SIGKILL to the one process whose command line holds all `words`."""
        (pid,) = self.processes(*words)
        os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """Whatever is left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def launched(*args, **kwargs) -> Iterator[Launched]:
    one = Launched(*args, **kwargs)
    try:
        yield one
    finally:
        one.end()


def until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until `true`."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
