"""Work that several processes share: the same results, and no process is left when the first one ends."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tokenspectrum.errors import UserError
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.systems.sigterm import exit_at_once

PROGRAM = """
import os, signal, sys, time
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.systems.sigterm import exit_at_once

def work(piece):
    os.write(1, b"%d\\n" % os.getpid())  # one write: lines of two processes do not mix
    time.sleep(60)

with exit_at_once(lambda: True):
    list(side_by_side(work, range(4), 2))
"""
# The signal comes between two results, not while one is awaited.
BETWEEN = """
import os, signal, time
from tokenspectrum.systems.side_by_side import side_by_side
from tokenspectrum.systems.sigterm import exit_at_once

with exit_at_once(lambda: True):
    for pid in side_by_side(lambda piece: os.getpid(), range(100), 2):
        print(pid, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
"""
# One signal in the inner block, one in the outer, and one behind both, while Python ends.
TWICE = """
import atexit, os, signal, time
from tokenspectrum.systems.sigterm import exit_at_once, kept_handler

def told():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)

atexit.register(told)
with exit_at_once(lambda: False):
    try:
        with exit_at_once(lambda: True), kept_handler():
            told()
    finally:
        told()
"""


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
def test_results_come_in_order_from_as_many_processes_as_there_is_work_for(processes):
    def work(piece: int) -> tuple[int, int]:
        time.sleep(0.02 * (3 - piece % 4))
        return piece * piece, os.getpid()

    found = list(side_by_side(work, range(6), processes))
    assert [square for square, _ in found] == [0, 1, 4, 9, 16, 25]
    used = {pid for _, pid in found}
    assert used == {os.getpid()} if processes == 1 else os.getpid() not in used
    assert min(processes, 2) <= len(used) <= processes


def test_one_piece_is_not_done_here_either():
    assert list(side_by_side(lambda piece: os.getpid(), [0], 2)) != [os.getpid()]


def test_no_work_is_no_process():
    assert list(side_by_side(lambda piece: piece, [], 4)) == []


def test_a_process_uses_freed_memory_again():
    def new_pages(_: int) -> list[int]:
        found = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            np.ones(3 * 2**20)  # 24 MiB
            found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        return found

    ((first, *others),) = side_by_side(new_pages, [0], 2)
    assert first > 50 * max(others)


def test_a_process_keeps_no_memory_of_the_largest():
    def kept(_: int) -> int:
        before = psutil.Process().memory_info().rss
        np.ones(2**25)  # 256 MiB
        return psutil.Process().memory_info().rss - before

    (grown,) = side_by_side(kept, [0], 2)
    assert grown < 2**25


def test_what_is_freed_here_is_given_back_before_others_start():
    pieces = [np.ones(2**13) for _ in range(4000)]  # 64 KiB each, of the heap
    last = np.ones(2**13)  # above them, so that the heap's end does not move
    before = psutil.Process().memory_info().rss
    del pieces
    list(side_by_side(lambda piece: piece, [0], 2))
    assert before - psutil.Process().memory_info().rss > 100 * 2**20
    assert last.all()


def test_a_mistake_in_the_work_reaches_the_user_as_it_is_and_no_process_stays():
    def work(piece: int) -> int:
        if piece == 1:
            raise UserError("row 1 is bad")
        time.sleep(30)
        return piece

    others = set(psutil.Process().children())
    started = time.monotonic()
    with pytest.raises(UserError, match="row 1 is bad"):
        list(side_by_side(work, [1, 2, 3], 2))
    assert time.monotonic() - started < 15
    assert set(psutil.Process().children()) <= others


@pytest.mark.parametrize("size", [1, 2**22])  # more than a pipe holds, too
def test_a_process_that_is_killed_is_told_with_what_to_set(size):
    def work(piece: int) -> bytes:
        if piece == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return bytes(size)

    with pytest.raises(UserError, match=r"processes that share the work was killed.*systems\.processes"):
        list(side_by_side(work, range(5), 2))
    assert list(side_by_side(lambda piece: piece, range(3), 2)) == [0, 1, 2]


def test_stopped_between_two_results_it_ends_with_its_processes():
    done = subprocess.run([sys.executable, "-c", BETWEEN], stdout=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 75
    assert not psutil.pid_exists(int(done.stdout))


def cleaned_up(ended: list[bool]) -> None:
    """Told to end; what cleans up behind it is told so again."""
    try:
        with exit_at_once(lambda: True):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        ended.append(True)


def test_a_second_sigterm_does_not_cut_the_end_short():
    ended: list[bool] = []
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit, match="75"), exit_at_once(lambda: False):
            cleaned_up(ended)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended


def test_a_sigterm_while_python_ends_does_not_change_how_it_ended():
    assert subprocess.run([sys.executable, "-c", TWICE], timeout=60, check=False).returncode == 75


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 75)])
def test_its_processes_end_with_it_however_it_ends(tmp_path: Path, sent: signal.Signals, code: int):
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        lines = [parent.stdout.readline() for _ in range(2)]
        assert all(line.strip().isdigit() for line in lines), lines
        forks = [int(line) for line in lines]
        parent.send_signal(sent)
        assert parent.wait(20) == code
    for _ in range(100):
        left = [fork for fork in forks if psutil.pid_exists(fork) and psutil.Process(fork).status() != "zombie"]
        if not left:
            break
        time.sleep(0.1)
    assert not left
