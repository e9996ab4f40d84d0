"""Work that several processes share, whose results do not depend on how many they are.

The processes are forks of this one: they begin with what it has loaded, such as a policy, and hold it once.  They end
with it, however it ends.  Knows nothing of the work.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from tokenspectrum.errors import UserError

Piece = TypeVar("Piece")
Result = TypeVar("Result")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT = 32 * 2**20  # bytes up to which a tensor's memory is kept: the most that glibc takes


def side_by_side(work: Callable[[Piece], Result], pieces: Sequence[Piece], processes: int) -> Iterator[Result]:
    """`work(piece)` of each piece, in order.  Results are pickled where `processes` is above 1.

    Then this process does none of the work.  PyTorch takes no gradient in a fork of a process that has taken one.
    """
    if processes <= 1 or not pieces:
        yield from map(work, pieces)
        return
    context = multiprocessing.get_context("fork")
    _give_back()
    forks, pipes = [], list[Connection]()
    try:
        for _ in range(min(processes, len(pieces))):
            ours, theirs = context.Pipe()
            fork = context.Process(target=_serve, args=(theirs, work, pieces, os.getpid()), daemon=True)
            fork.start()
            theirs.close()  # else a fork that is gone would look like one that is silent
            forks.append(fork)
            pipes.append(ours)
        yield from _in_order(pipes, len(pieces))
    finally:
        # The work is done, or is of no use any more: an error, a stop, or nobody who takes the rest.
        for fork in forks:
            fork.kill()
            fork.join()


def _in_order(pipes: Sequence[Connection], count: int) -> Iterator[Any]:
    """The results of `count` pieces, which are handed out by their numbers as forks are free."""
    at = dict(zip(pipes, range(count), strict=False))
    for pipe, number in at.items():
        pipe.send(number)
    begun, given, found = len(at), 0, dict[int, Any]()
    while given < count:
        for pipe in wait(list(at)):
            assert isinstance(pipe, Connection)
            try:
                done, result = pipe.recv()
            except (EOFError, OSError):
                raise UserError(
                    f"one of {len(pipes)} processes that share the work was killed, often for want of memory: set "
                    "systems.processes or systems.micro_batch lower"
                ) from None
            if not done:
                raise result
            found[at.pop(pipe)] = result
            if begun < count:
                at[pipe] = begun
                pipe.send(begun)
                begun += 1
        while given in found:
            yield found.pop(given)
            given += 1


def _serve(pipe: Connection, work: Callable[[Any], Any], pieces: Sequence[Any], parent: int) -> None:
    """Do the pieces whose numbers come.  The parent alone decides when to stop; where it dies, its forks die."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _keep_memory()
    while os.getppid() == parent:
        number = pipe.recv()
        try:
            answer = True, work(pieces[number])
        except Exception as e:
            e.add_note(traceback.format_exc())  # where it happened is not pickled
            answer = False, e
        pipe.send(answer)


def _keep_memory() -> None:
    """Let glibc keep what is freed.  Else each large tensor gets new pages, which the kernel clears first.

    Not that of the largest tensors: between them what is kept would fall to pieces, and grow with the work.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _give_back() -> None:
    """Return what this process has freed to the kernel.  It holds it beside what its forks take."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
