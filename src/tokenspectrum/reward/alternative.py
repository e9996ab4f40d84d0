"""The alternative scorer: math-verify's opinion on the same last boxed answer, by mathematical equality.

It reads what the strict verifier reads, but it compares values: 0.5 equals 1/2.

An answer may hang the library.  Its own timeouts work on the main thread of a process only.  So it runs in a process of
its own, which any thread may ask.  CPU time, memory and wall time of each question are bounded; past a bound the
answer counts as wrong.
"""

import atexit
import contextlib
import json
import logging
import os
import re
import select
import signal
import subprocess
import sys
import threading
from functools import lru_cache

from tokenspectrum.errors import UserError
from tokenspectrum.reward import alternative_worker
from tokenspectrum.reward.boxed import last_boxed, share
from tokenspectrum.reward.gold import decode_gold

# The worker stops itself after its 5 seconds of CPU time; this is for what no alarm interrupts, on a busy machine.
WALL_SECONDS = 120.0
KILLS = 5
WORKER = alternative_worker.__file__

_log = logging.getLogger(__name__)
_PLAIN = re.compile(r"0|-?[1-9]\d{0,17}")


class Worker:
    """One math-verify process, started at the first question and again after it had to be killed."""

    def __init__(self, wall_seconds: float = WALL_SECONDS) -> None:
        self.wall_seconds = wall_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def _running(self) -> subprocess.Popen[bytes]:
        # A forked child must not share its parent's pipes.
        if self._process is None or self._owner != os.getpid():
            command = [sys.executable, "-P", WORKER]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._owner = os.getpid()
        return self._process

    def ask(self, gold: str, answer: str) -> bool:
        """Whether math-verify takes `answer` for equal to `gold`.

        A process that was killed is asked again in a new one: who killed it must not make a right answer wrong.  After
        `KILLS` kills a UserError says so.  One that ends by itself is asked again once.
        """
        with self._lock:
            killed = ended = 0
            while True:
                line, died = self._answer(gold, answer)
                if line:
                    return json.loads(line)
                if died and self._process is not None and self._process.wait() == -signal.SIGKILL:
                    killed += 1
                else:
                    ended += 1
                self._stop()
                if killed == KILLS:
                    raise UserError(
                        f"math-verify's process was killed {KILLS} times over one answer: is the memory too small? "
                        f"It may take {alternative_worker.MEMORY_BYTES >> 30} GiB"
                    )
                if ended == 2 or not died:
                    _log.warning("math-verify gave no verdict on %.80r against %.80r; counted as wrong", answer, gold)
                    return False

    def _answer(self, gold: str, answer: str) -> tuple[bytes, bool]:
        """The process's line, and whether it died instead of writing one."""
        process = self._running()
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None, "it is a pipe"
        assert stdout is not None, "it is a pipe"
        with contextlib.suppress(BrokenPipeError):  # it died: the read below finds the end of its output
            stdin.write(json.dumps([gold, answer]).encode() + b"\n")
            stdin.flush()
        ready, _, _ = select.select([stdout], [], [], self.wall_seconds)
        line = stdout.readline() if ready else b""
        # Half a line is that of a process killed while it wrote.
        return (line if line.endswith(b"\n") else b""), bool(ready)

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            if self._process is not None and self._owner == os.getpid():
                self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


_worker = Worker()
atexit.register(_worker.close)


@lru_cache(maxsize=65536)
def _equal(gold: str, answer: str) -> bool:
    # Whole numbers need no algebra system; most of a small policy's answers are.
    if _PLAIN.fullmatch(gold) and _PLAIN.fullmatch(answer):
        return gold == answer
    return _worker.ask(gold, answer)


def math_verify_correct(text: str, ground_truth: str) -> bool:
    r"""Whether math-verify takes the last \boxed{} of `text` for the gold answer; False without a box.

    `ground_truth` is as in reward/gold.py; several answers are put to math-verify as one comma-separated list, units
    and tolerances are not its business.  A task of reasoning-gym has one scorer, its own.
    """
    answer = last_boxed(text)
    if answer is not None and decode_gold(ground_truth).gym is not None:
        return share(answer, ground_truth, integer=False) == 1
    return answer is not None and _equal(", ".join(decode_gold(ground_truth).answers), answer.strip())
