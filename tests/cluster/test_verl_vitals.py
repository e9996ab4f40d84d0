"""A driver whose main thread waits for ever ends when a part of the job has died, and not otherwise."""

import subprocess
import sys
import time

SCRIPT = """
import sys, time
from tokenspectrum.systems.ray.vitals import Vitals
answers = iter({answers})
with Vitals(lambda: next(answers, {then!r}), every=0.3):
    time.sleep({seconds})
print("the main thread came to its end")
"""


def play(answers: str, then: str | None, seconds: float) -> tuple[subprocess.CompletedProcess, float]:
    began = time.monotonic()
    script = SCRIPT.format(answers=answers, then=then, seconds=seconds)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    return done, time.monotonic() - began


def test_ends_what_waits():
    done, took = play("[None, None]", "vLLM's engine on n2 died", 100)
    assert done.returncode == 1
    assert done.stderr == "error: vLLM's engine on n2 died\n"
    assert took < 60


def test_leaves_the_living_alone():
    done, _ = play("[]", None, 1.5)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the main thread came to its end\n", "")


def test_leaves_a_main_thread_that_has_ended_alone():
    """The job's last act may be to end its servers."""
    done, _ = play("[None]", "gone", 0.5)
    assert done.returncode == 0
