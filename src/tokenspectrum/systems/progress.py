"""Report the progress of a long stage: a line in the log, and a small JSON file that `spectrum watch` draws.

Both say how many tokens a second, where a stage counts them.  The log also has the time left at the pace so far.

Knows no terminal, because training must not import one.
"""

import json
import logging
import os
import time
from collections.abc import Callable
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
    """`with Progress("train", total=40) as p: p.update(done, reward=...)`; fields are numbers worth seeing.

    `begun` says how many of those done an earlier run had left: they took this one no time.
    """

    def __init__(self, label: str, total: int, begun: Callable[[], int] = lambda: 0) -> None:
        self.label, self.total, self._begun = label, total, begun
        self._started = self._written = self._logged = 0.0
        self._tokens = 0

    def __enter__(self) -> "Progress":
        self._started = time.time()
        self.update(0)
        return self

    def count(self, tokens: int) -> None:
        """Record that so many more tokens were sampled or measured by this process."""
        self._tokens += tokens

    def update(self, done: int, **fields: float) -> None:
        """Record that `done` of `total` units are done."""
        now, last, begun = time.time(), done >= self.total, self._begun()
        if self._tokens and now > self._started:
            fields["tokens_a_second"] = self._tokens / (now - self._started)
        if last or now - self._logged >= _LOG_EVERY_S:
            self._logged = now
            shown = " ".join(f"{k} {v:.4g}" for k, v in fields.items())
            left = (now - self._started) * (self.total - done) / (done - begun) if done > begun else 0.0
            to_go = f", {left:.0f} s to go" if left else ""
            _log.info("%s %d/%d %s%s", self.label, done, self.total, shown, to_go)
        folder = log_dir()
        if folder is not None and (last or now - self._written >= _WRITE_EVERY_S):
            self._written = now
            state: dict[str, Any] = {"label": self.label, "done": done, "total": self.total, "fields": fields}
            state |= {"begun": begun, "started": self._started, "updated": now, "pid": os.getpid()}
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / f".progress.{os.getpid()}"
            temporary.write_text(json.dumps(state))
            os.replace(temporary, folder / "progress.json")

    def __exit__(self, *error: object) -> None:
        folder = log_dir()
        if folder is not None:
            (folder / "progress.json").unlink(missing_ok=True)
