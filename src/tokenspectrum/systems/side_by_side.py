"""Work that several processes share, whose results do not depend on how many they are.

The processes are forks of this one: they begin with what it has loaded, such as a policy, and hold it once.  They end
with it, however it ends.  Knows nothing of the work.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from tokenspectrum.errors import UserError

Piece = TypeVar("Piece")
Result = TypeVar("Result")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

# What the forks do.  A fork inherits it, so the function itself need not travel.
_work: Callable[[Any], Any] | None = None


def side_by_side(work: Callable[[Piece], Result], pieces: Sequence[Piece], processes: int) -> Iterator[Result]:
    """`work(piece)` of each piece, in order.  Pieces and results are pickled where `processes` is above 1.

    Then this process does none of the work.  PyTorch takes no gradient in a fork of a process that has taken one.
    """
    if processes == 1 or not pieces:
        yield from map(work, pieces)
        return
    global _work
    _work = work
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(
        min(processes, len(pieces)), multiprocessing.get_context("fork"), initializer=_begin, initargs=(os.getpid(),)
    ) as executor:
        try:
            yield from executor.map(_do, pieces)
        except BrokenProcessPool as e:
            raise UserError(
                f"one of {processes} processes that share the work was killed, often for want of memory: set "
                "systems.processes or systems.micro_batch lower"
            ) from e
        except BaseException:
            # An error, a stop, or nobody who takes the rest: what they are at is of no use any more.
            for child in set(multiprocessing.active_children()) - others:
                child.kill()
            raise
        finally:
            _work = None


def _begin(parent: int) -> None:
    """The parent alone decides when to stop; where it dies, its forks die."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _do(piece: Any) -> Any:
    assert _work is not None
    return _work(piece)
