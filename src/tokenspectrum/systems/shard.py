"""The owner's side of processes that answer requests: start one, send requests, read progress, give up a silent one.

A process gets its first message, and then lists of requests.  It says ("ready", None), ("progress", n), ("sampled",
answers) and ("failed", why).  The owner decides what to do about a shard that failed.  Knows processes, sockets and
seconds.  Knows nothing of the requests and answers.
"""

import logging
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from tokenspectrum.errors import UserError

log = logging.getLogger(__name__)
# Seconds until an engine must be up.  Loading a large policy takes minutes.  An engine that cannot start says so soon.
_START = 1800
# Seconds to wait for a killed process to end.  If it waits for a broken device, it may never end.
_END = 60
_LOOK_EVERY_S = 1.0
_LOG_EVERY_S = 10.0


class ShardError(Exception):
    """A shard died, failed or fell silent.  The message holds the last that it said."""


@dataclass(frozen=True)
class Program:
    """What the shards run.

    name, section   in messages: of the engine, and of its params
    code            Python that serves the socket of number sys.argv[1] for the process of id sys.argv[2].  No -m: what
                    a module run as __main__ pickles is not what this process unpickles
    first           the first message: how to start
    stall_timeout   seconds of silence after which a shard is given up
    variables       environment of a shard, by its index
    """

    name: str
    section: str
    code: str
    first: Any
    stall_timeout: float
    variables: Callable[[int], Mapping[str, str]] = lambda index: {}


def own_devices(index: int, width: int, section: str) -> list[str]:
    """The `width` GPUs of shard `index`, in CUDA's words; a UserError where CUDA_VISIBLE_DEVICES has too few."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    # An empty variable hides every GPU; without one they are all there.
    listed = [str(i) for i in range((index + 1) * width)] if visible is None else list(filter(None, visible.split(",")))
    devices = listed[index * width : (index + 1) * width]
    if len(devices) < width:
        raise UserError(
            f"{section}: shard {index + 1} of {width} GPUs each needs more than the {len(listed)} in "
            "CUDA_VISIBLE_DEVICES; lower shards or tensor_parallel"
        )
    return devices


class Shard:
    """One engine process.  `done`: requests of the present question that it has finished."""

    def __init__(self, index: int, program: Program) -> None:
        self.index, self.program = index, program
        self.done, self.heard = 0, time.monotonic()
        variables = program.variables(index)
        mine, other = socket.socketpair()
        # A process may stop in the middle of a message.  Then a read or a write without a limit would never end.
        for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            mine.setsockopt(socket.SOL_SOCKET, way, struct.pack("@ll", math.ceil(program.stall_timeout), 0))
        with other:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program.code, str(other.fileno()), str(os.getpid())],
                pass_fds=[other.fileno()],
                env={**os.environ, **variables},
                # A process group of its own, so that what it starts ends with it.
                start_new_session=True,
                # Its output goes where the stage's own output goes.
                stdout=sys.stderr if _has_fd(sys.stderr) else None,
            )
        self.connection = Connection(mine.detach())
        self.connection.send(program.first)

    def ready(self) -> None:
        """Wait until the engine is up; a UserError says why it is not."""
        if not self.connection.poll(_START):
            raise UserError(f"{self.program.name} shard {self.index}: not up after {_START} s; its log is above")
        try:
            self._receive()
        except ShardError as e:
            raise UserError(f"{self.program.name} shard {self.index} does not start: {e}") from None

    def ask(self, requests: Sequence[Any]) -> None:
        """Send requests.  The function `answers` returns what comes of them."""
        with suppress(BrokenPipeError, BlockingIOError):  # `answers` will notice that it ended or is silent
            self.connection.send(requests)
        self.done, self.heard = 0, time.monotonic()

    def said(self) -> list[Any] | None:
        """Read the next message.  Returns the responses, or None after an update of `done`.  ShardError on failure."""
        word, what = self._receive()
        self.heard = time.monotonic()
        self.done = what if word == "progress" else len(what)
        return None if word == "progress" else what

    def silent(self) -> ShardError:
        """The error of a shard that has said nothing for too long."""
        return ShardError(f"no progress for {self.program.stall_timeout:g} s ({self.program.section}.stall_timeout)")

    def close(self) -> None:
        """End the process and all that it started."""
        if self.connection.closed:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.connection.close()
        self._end()

    def _receive(self) -> tuple[str, Any]:
        try:
            word, what = self.connection.recv()
        except BlockingIOError:
            raise self.silent() from None
        except (EOFError, ConnectionError):
            raise ShardError(f"its process {self._end()}") from None
        if word == "failed":
            raise ShardError(" ".join(str(what).split())[:500])
        return word, what

    def _end(self) -> str:
        """How the process ended, in words."""
        try:
            code = self.process.wait(_END)
        except subprocess.TimeoutExpired:
            log.warning("%s shard %d: process %d does not end", self.program.name, self.index, self.process.pid)
            return "hung up but does not end"
        return f"ended with signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def answers(dealt: Sequence[tuple[Shard, Sequence[Any]]]) -> Iterator[tuple[Shard, list[Any] | ShardError]]:
    """Ask all shards, and yield each, as soon as it answers, with its responses or with its error."""
    for shard, requests in dealt:
        shard.ask(requests)
    waiting = [shard for shard, _ in dealt]
    total = sum(len(requests) for _, requests in dealt)
    logged = time.monotonic()
    while waiting:
        speak = wait([shard.connection for shard in waiting], _LOOK_EVERY_S)
        now = time.monotonic()
        for shard in list(waiting):
            answer: list[Any] | ShardError | None = None
            try:
                if shard.connection in speak:
                    answer = shard.said()
                elif now - shard.heard > shard.program.stall_timeout:
                    raise shard.silent()
            except ShardError as e:
                shard.done, answer = 0, e
            if answer is not None:
                waiting.remove(shard)
                yield shard, answer
        if waiting and now - logged >= _LOG_EVERY_S:
            logged = now
            done = sum(shard.done for shard, _ in dealt)
            words = "%s: %d of %d responses, shards at work: %d of %d"
            log.info(words, dealt[0][0].program.name, done, total, len(waiting), len(dealt))


def _has_fd(stream: Any) -> bool:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True
