"""The owner's end of vLLM's processes: start one, ask it, hear of its progress, give it up when it says nothing.

Knows the messages of shard.py and seconds; knows no prompts, and not what is done about a shard that failed.
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
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.rollout.engines.vllm.shard import EngineOptions, Request, Sampled, environment

log = logging.getLogger(__name__)
# Seconds until an engine must be up: loading a large policy takes minutes, an engine that cannot start says so at once.
_START = 1800
# Seconds that a killed process may take to be gone; one that waits for a broken device may never be.
_END = 60
_LOOK_EVERY_S = 1.0
_LOG_EVERY_S = 10.0
# Not -m: what a module run as __main__ pickles is not what this process unpickles.
_MAIN = "from tokenspectrum.rollout.engines.vllm.shard import main; main()"


class ShardError(Exception):
    """A shard died, failed or fell silent; the message is its last word."""


class Shard:
    """One engine process.  `done`: requests of the present question that it has finished."""

    def __init__(self, index: int, options: EngineOptions) -> None:
        self.index, self.stall_timeout = index, options.stall_timeout
        self.done, self.heard = 0, time.monotonic()
        width = options.tensor_parallel
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        listed = visible.split(",") if visible else [str(i) for i in range((index + 1) * width)]
        devices = listed[index * width : (index + 1) * width]
        if options.device == "cuda" and len(devices) < width:
            raise UserError(
                f"systems.vllm: shard {index + 1} of {width} GPUs each needs more than the {len(listed)} in "
                "CUDA_VISIBLE_DEVICES; lower shards or tensor_parallel"
            )
        mine, other = socket.socketpair()
        # A process may stop in the middle of a message, which then would be read, or written, forever.
        for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            mine.setsockopt(socket.SOL_SOCKET, way, struct.pack("@ll", math.ceil(self.stall_timeout), 0))
        with other:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, str(other.fileno()), str(os.getpid())],
                pass_fds=[other.fileno()],
                env={**os.environ, **environment(options, devices)},
                # A group of its own: what vLLM starts ends with it.
                start_new_session=True,
                # vLLM talks much; what it says goes where the stage's own words go.
                stdout=sys.stderr if _has_fd(sys.stderr) else None,
            )
        self.connection = Connection(mine.detach())
        self.connection.send(options)

    def ready(self) -> None:
        """Wait until the engine is up; a UserError says why it is not."""
        if not self.connection.poll(_START):
            raise UserError(f"vLLM shard {self.index}: not up after {_START} s; its log is above")
        try:
            self._receive()
        except ShardError as e:
            raise UserError(f"vLLM shard {self.index} does not start: {e}") from None

    def ask(self, requests: Sequence[Request]) -> None:
        """Hand over requests; `answers` has what comes of them."""
        with suppress(BrokenPipeError, BlockingIOError):  # its end, or its silence, is noticed when it is listened to
            self.connection.send(requests)
        self.done, self.heard = 0, time.monotonic()

    def said(self) -> list[Sampled] | None:
        """What the next message brings: the responses, or None and a newer `done`.  ShardError if it failed."""
        word, what = self._receive()
        self.heard = time.monotonic()
        self.done = what if word == "progress" else len(what)
        return None if word == "progress" else what

    def silent(self) -> ShardError:
        """The error of a shard that has said nothing for too long."""
        return ShardError(f"no progress for {self.stall_timeout:g} s (systems.vllm.stall_timeout)")

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
            log.warning("vLLM shard %d: process %d does not end", self.index, self.process.pid)
            return "hung up but does not end"
        return f"ended with signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def answers(dealt: Sequence[tuple[Shard, Sequence[Request]]]) -> Iterator[tuple[Shard, list[Sampled] | ShardError]]:
    """Ask each shard, and yield each with its responses, or with why there are none, as they come."""
    for shard, requests in dealt:
        shard.ask(requests)
    waiting = [shard for shard, _ in dealt]
    total = sum(len(requests) for _, requests in dealt)
    logged = time.monotonic()
    while waiting:
        speak = wait([shard.connection for shard in waiting], _LOOK_EVERY_S)
        now = time.monotonic()
        for shard in list(waiting):
            answer: list[Sampled] | ShardError | None = None
            try:
                if shard.connection in speak:
                    answer = shard.said()
                elif now - shard.heard > shard.stall_timeout:
                    raise shard.silent()
            except ShardError as e:
                shard.done, answer = 0, e
            if answer is not None:
                waiting.remove(shard)
                yield shard, answer
        if waiting and now - logged >= _LOG_EVERY_S:
            logged = now
            done = sum(shard.done for shard, _ in dealt)
            log.info("vLLM: %d of %d responses, shards at work: %d of %d", done, total, len(waiting), len(dealt))


def _has_fd(stream: Any) -> bool:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True
