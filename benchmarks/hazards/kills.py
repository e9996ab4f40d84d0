"""kill -9 at random moments over the driver, runners, stages and math-verify's worker; then the same command again.

A run is killed again and again until it has come to its end.  Then its bytes are compared, and the next run begins.
"""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

from hazards.project import Driver, Project, Row, clear, difference, finish, last_line, processes
from tokenspectrum.reward.alternative import Worker

KINDS = {"driver": 3, "runner": 3, "stage": 4}
EARLIEST_S, LATEST_S = 0.2, 6.0
PATIENCE = 3


def _victim(clone: Project, driver: Driver, kind: str, rng: random.Random) -> tuple[str, int, str]:
    """(kind, pid, where): of the kind that was drawn, or of another if there is none within three seconds."""
    end = time.monotonic() + 3
    while kind != "driver" and not driver.ended():
        if found := processes(clone, kind):
            return kind, *rng.choice(found)
        if time.monotonic() > end:
            kind = {"stage": "runner", "runner": "driver"}[kind]
        time.sleep(0.02)
    return "driver", driver.process.pid, "snakemake"


def kills(clone: Project, reference: dict[str, str], count: int, seed: int) -> Iterator[Row]:
    """`count` kills.  Rows come when the run that they hit has ended.

    After `PATIENCE` kills without a finished stage the next stage is let through: the run must come to its end.
    """
    rng, hit, driver = random.Random(seed), [], Driver(clone)
    total = vain = failures = 0
    while total < count:
        kind, delay = rng.choices(list(KINDS), list(KINDS.values()))[0], rng.uniform(EARLIEST_S, LATEST_S)
        done = _finished(clone)
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.process.wait(delay)
        while vain >= PATIENCE and not driver.ended() and _finished(clone) == done:
            time.sleep(0.05)
        if not driver.ended():
            kind, pid, where = _victim(clone, driver, kind, rng)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                hit.append((f"kill -9 of {kind}", f"{where}, after {delay:.2f} s"))
                total, failures = total + 1, 0
            vain = vain + 1 if _finished(clone) == done else 0
            if kind != "driver":
                continue
            driver.wait()
        elif driver.process.returncode == 0:
            yield from _judged(clone, reference, hit, seed)
            hit, vain = [], 0
            clear(clone)
        else:
            failures += 1
            if failures > 3:
                raise RuntimeError(f"the run does not go on: {last_line(driver.said())}")
        driver = Driver(clone)
    driver.wait()
    yield from _judged(clone, reference, hit, seed, finish(clone))


def _finished(clone: Project) -> int:
    return sum(entry["how"] == "ran" for entry in clone.journal())


def _judged(
    clone: Project, reference: dict[str, str], hit: list[tuple[str, str]], seed: int, complaint: str = ""
) -> Iterator[Row]:
    settle(clone)
    wrong = complaint or difference(clone, reference)
    for what, where in hit:
        yield Row(what, where, seed, wrong or "goes on, same bytes", int(bool(wrong)))


def settle(clone: Project, seconds: float = 60) -> None:
    """Wait for what a killed driver has left running."""
    end = time.monotonic() + seconds
    while any(processes(clone, kind) for kind in ("runner", "stage")) and time.monotonic() < end:
        time.sleep(0.1)


def worker_kills(count: int, seed: int) -> Iterator[Row]:
    """`count` kills of the process that stages ask for math-verify's opinion; the verdicts must stay."""
    rng, worker = random.Random(seed), Worker()
    pairs = [(f"{i}/7", f"\\frac{{{i + i % 2 * 7}}}{{7}}") for i in range(1, 40)]
    right = [worker.ask(*pair) for pair in pairs]
    for _ in range(count):
        delay, at = rng.uniform(0.0, 2.0), rng.randrange(len(pairs) - 10)
        timer = threading.Timer(delay, _kill_worker, [worker])
        timer.start()
        verdicts = []
        while timer.is_alive() or len(verdicts) < 10:
            verdicts.append(worker.ask(*pairs[(at + len(verdicts)) % len(pairs)]))
        expected = [right[(at + i) % len(pairs)] for i in range(len(verdicts))]
        wrong = sum(v != e for v, e in zip(verdicts, expected, strict=True))
        yield Row(
            "kill -9 of worker",
            f"math-verify, after {delay:.2f} s",
            seed,
            f"{wrong} of {len(verdicts)} verdicts differ" if wrong else "goes on, same verdicts",
            int(wrong > 0),
        )
    worker.close()


def _kill_worker(worker: Worker) -> None:
    process = worker._process
    if process is not None:
        process.kill()
