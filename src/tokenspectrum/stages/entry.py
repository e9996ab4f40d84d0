"""How every stage starts and fails: logging, one thread, and one clear line for a user's mistake.  Knows no stage."""

import errno
import logging
import os
import sys
from collections.abc import Callable

from tokenspectrum.errors import UserError
from tokenspectrum.systems.progress import log_dir
from tokenspectrum.systems.sigterm import exit_at_once


def _configure_logging() -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    folder = log_dir()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(folder / "stage.log", mode="a"))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", handlers=handlers)


def _threads(text: str) -> int:
    """OMP_NUM_THREADS as OpenMP reads it: `4,2` means 4 on the outer level.  1 if it is not set."""
    first = text.split(",")[0].strip()
    if not first:
        return 1
    if not (first.isascii() and first.isdigit() and 0 < int(first) < 2**31):
        sys.exit(f"error: OMP_NUM_THREADS={text!r}: must be a whole number of 1 or more; unset it, or set it to 1")
    return int(first)


def run(main: Callable[[], None], *, computes: bool = True) -> None:
    """Run a stage's main.  A UserError or a full disk gives one line and exit code 1.  A bug shows its traceback.

    SIGTERM ends it as an error would, so that its folders of unfinished work are removed.

    `computes` is False for a stage that never loads PyTorch.  For all others PyTorch is loaded here, if their module
    has not loaded it yet: its threads and its portable kernels must be set before it computes anything.
    """
    _configure_logging()
    if computes:
        import torch

        from tokenspectrum.portable.kernels import install

        # One thread by default: two processes of one thread are faster than one of two, and sums keep their order.
        torch.set_num_threads(_threads(os.environ.get("OMP_NUM_THREADS", "")))
        install()
    try:
        with exit_at_once(lambda: False):
            main()
    except UserError as e:
        sys.exit(f"error: {e}")
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            sys.exit(f"error: {e.filename or 'output'}: the disk is full; free some room (`spectrum gc`) and run again")
        raise
