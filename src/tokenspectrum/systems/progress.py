"""Report the progress of a long stage: a line in the log, and a small JSON file that `spectrum watch` draws.

Knows no terminal, because training must not import one.
"""

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

LOG_DIR_ENV = "SNAKEDVC_LOG_DIR"
_log = logging.getLogger("tokenspectrum.systems.progress")
_WRITE_EVERY_S = 0.5
_LOG_EVERY_S = 10.0


def log_dir() -> Path | None:
    """Folder for this stage's logs; None if none is set."""
    return Path(os.environ[LOG_DIR_ENV]) if os.environ.get(LOG_DIR_ENV) else None


class Progress:
    """`with Progress("train", total=40) as p: p.update(done, reward=...)`; fields are numbers worth seeing."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total = label, total
        self._started = self._written = self._logged = 0.0

    def __enter__(self) -> "Progress":
        self._started = time.time()
        self.update(0)
        return self

    def update(self, done: int, **fields: float) -> None:
        """Record that `done` of `total` units are done."""
        now, last = time.time(), done >= self.total
        if last or now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            shown = " ".join(f"{k} {v:.4g}" for k, v in fields.items())
            _log.info("%s %d/%d %s", self.label, done, self.total, shown)
        folder = log_dir()
        if folder is not None and (last or now - self._written >= _WRITE_EVERY_S):
            self._written = now
            state: dict[str, Any] = {"label": self.label, "done": done, "total": self.total, "fields": fields}
            state |= {"started": self._started, "updated": now, "pid": os.getpid()}
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / f".progress.{os.getpid()}"
            temporary.write_text(json.dumps(state))
            os.replace(temporary, folder / "progress.json")

    def __exit__(self, *error: object) -> None:
        folder = log_dir()
        if folder is not None:
            (folder / "progress.json").unlink(missing_ok=True)
