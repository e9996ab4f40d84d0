"""The tiny job of slurm_checks.py: what a compute node sees, written into a folder of the repository.

    python -m snakedvc.site.node_check FOLDER [MODULE:FUNCTION]

The function says in words what the node has for stages.  It raises an error if something is missing.
"""

import fcntl
import importlib
import json
import platform
import socket
import sys
from pathlib import Path
from typing import Any


def _lock(path: Path) -> str:
    with path.open("r+") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "held"
        except OSError as e:
            return f"refused ({e.strerror})"
    return "free"


def main(folder: Path, words: str | None = None) -> None:
    """Read the question, try the lock, call the project's function, and write the answer."""
    asked_by = (folder / "question").read_text()
    answer: dict[str, Any] = {
        "host": socket.gethostname(),
        "same_host": asked_by == socket.gethostname(),
        "lock": _lock(folder / "lock"),
    }
    answer |= {"python": platform.python_version(), "has": None, "problem": None}
    try:
        if words:
            module, _, function = words.partition(":")
            answer["has"] = getattr(importlib.import_module(module), function)()
    except Exception as e:  # any error of a broken environment is part of the answer
        answer["problem"] = f"{type(e).__name__}: {e}"
    temporary = folder / "answer.tmp"
    temporary.write_text(json.dumps(answer))
    temporary.rename(folder / "answer")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
