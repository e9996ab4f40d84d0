"""A process that answers [gold, answer] pairs, one JSON line each, with what math-verify says of them.

It bounds each pair in CPU time by an alarm, which only a process's main thread may set (the reason why this is a
process), and itself in memory, since 10^{10^{10}} is a valid answer.  Knows no other module of this project.
"""

import json
import logging
import resource
import signal
import sys
from typing import Any

CPU_SECONDS = 5.0
MEMORY_BYTES = 4 << 30


class OutOfTime(BaseException):
    """Not an Exception: the library swallows those."""


def _alarm(signum: int, frame: object) -> None:
    raise OutOfTime


def main() -> None:
    """Answer until the input ends."""
    # Whatever the library prints must not mix with the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    logging.disable(logging.CRITICAL)
    from math_verify import parse, verify

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGPROF, _alarm)
    no_timeout: Any = None  # the library's own word for it, which its annotation (int) does not have
    for line in sys.stdin:
        gold, answer = json.loads(line)
        try:
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            # Timeouts of the library's own are off: they are this process's job.
            parsed = [parse(f"\\boxed{{{s}}}", parsing_timeout=no_timeout) for s in (gold, answer)]
            verdict = bool(verify(*parsed, timeout_seconds=None))
        except (OutOfTime, MemoryError, RecursionError):
            verdict = False
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(json.dumps(verdict) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
