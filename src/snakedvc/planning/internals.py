"""Every part of Snakemake's inside that the bridge uses, although Snakemake does not promise it.

No other file uses any.  PINNED is the version that has these names.  `Snakemake` compares what it reads or calls with
what is installed, so another version ends with one line instead of a wrong plan.
tests/bridge/test_bridge_internals.py checks them too.
"""

import contextlib
import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from snakemake.io import _IOFile, ancient, directory, report
from snakemake.logging import logger
from snakemake.settings.types import RerunTrigger
from snakemake_interface_storage_plugins.io import Mtime

from snakedvc.errors import ProjectError

PINNED = "9.27"
__all__ = ["Snakemake", "ancient", "check_pins", "directory", "keep_handlers", "plans", "report", "terminal_handlers"]
# What is read from the workflow, by dotted name.
READ = (
    "is_main_process",
    "dryrun",
    "touch",
    "executor_plugin",
    "dag_settings.rerun_triggers",
    "persistence.path",
    "persistence.lock",
    "persistence.locked",
    "persistence.all_inputfiles",
    "iocache.exists_local",
    "iocache.mtime",
    "dag.targetfiles",
    "dag.targetrules",
    "dag.forcerules",
    "dag.forcefiles",
    "dag.ignore_incomplete",
)


_is_protected = _IOFile.protected


async def _is_there_and_protected(self: _IOFile) -> bool:
    """In a dry run an output of a job may be said to be there (`is_there`), and it is not there to be written to."""
    return os.path.exists(str(self)) and await _is_protected(self)


def plans(workflow: Any) -> bool:
    """Whether this process decides which jobs run.  It does not for a picture of the DAG, and not with --touch."""
    return workflow is not None and workflow.executor_plugin is not None and not workflow.touch


def terminal_handlers() -> list[logging.Handler]:
    """What writes Snakemake's messages to the terminal; its log file is another handler."""
    handlers = [one for one in logger.handlers if isinstance(one, logging.StreamHandler)]
    return [one for one in handlers if not isinstance(one, logging.FileHandler)]


def keep_handlers(workflow: Any, module: Mapping[str, Any]) -> None:
    """Let the handlers run that a module's Snakefile defined, after the user's own.  Snakemake does not register them.

    `module`: the module's globals, where Snakemake leaves each as a partial that has its log file.
    """
    for name in ("onstart", "onsuccess", "onerror"):
        attribute = f"_{name}"
        if not hasattr(workflow, attribute):
            version = importlib.metadata.version("snakemake")
            raise ProjectError(
                f"Snakemake {version} has no workflow.{attribute}, which a module needs: install {PINNED}"
            )
        if name in module:
            setattr(workflow, attribute, _both(getattr(workflow, attribute), module[name].func))


def _both(first: Callable[[Any], object], then: Callable[[Any], object]) -> Callable[[Any], None]:
    def both(log: Any) -> None:
        first(log)
        then(log)

    return both


def check_pins(workflow: Any) -> None:
    """ProjectError if this Snakemake lacks something that is read from it."""
    for dotted in READ:
        node = workflow
        for name in dotted.split("."):
            if not hasattr(node, name):
                version = importlib.metadata.version("snakemake")
                raise ProjectError(
                    f"Snakemake {version} has no workflow.{dotted}, which planning needs: install {PINNED}"
                )
            node = getattr(node, name)


class Snakemake:
    """The DAG and settings of the process that plans."""

    def __init__(self, workflow: Any) -> None:
        check_pins(workflow)
        self._workflow, self._dag = workflow, workflow.dag
        self.dryrun: bool = workflow.dryrun
        if self.dryrun:
            _IOFile.protected = _is_there_and_protected
        self.locks: Path = workflow.persistence.path / "locks"
        rules = self._dag.targetrules
        # What the user asked for, and what has to run even if its outputs are there (-R, -f, -F).
        self.asked_files = {str(f) for f in self._dag.targetfiles} | {str(f) for rule in rules for f in rule.input}
        self.asked_rules = {rule.name for rule in rules}
        self.forced_rules = {rule.name for rule in self._dag.forcerules}
        self.forced_files = {str(f) for f in self._dag.forcefiles}
        # Whether the user cuts the DAG, so that Snakemake has to see all of it (--omit-from, --batch).
        cuts = workflow.dag_settings
        self.is_cut = bool(cuts.omit_from or cuts.batch)
        self._read = set[str]()
        shown = workflow.persistence.all_inputfiles
        workflow.persistence.all_inputfiles = lambda: {*map(str, shown()), *self._read}

    def let_content_decide(self) -> None:
        """Turn off file times and remembered params.  The bridge has its own mark of half-written outputs."""
        self._workflow.dag_settings.rerun_triggers = frozenset({RerunTrigger.MTIME})
        self._dag.ignore_incomplete = True

    def locked_files(self) -> set[str]:
        """Files that other drivers in this folder use."""
        return {line for path in self.locks.glob("*.lock") for line in path.read_text().splitlines()}

    def lock_too(self, paths: Iterable[str]) -> None:
        """Lock files that a job reads, although they are not among the inputs that Snakemake sees."""
        self._read.update(paths)

    def keep_locks_folder(self) -> None:
        """Make the folder of locks again: another driver removes it when it ends, and Snakemake needs it."""
        self.locks.mkdir(exist_ok=True)

    def explain_lock(self, why: Callable[[], str]) -> None:
        """Let `why()` say that another driver works on the same files, in the place of Snakemake's advice to unlock."""
        persistence = self._workflow.persistence
        lock = persistence.lock

        @contextlib.contextmanager
        def explained() -> Iterator[None]:
            if persistence.locked:
                sys.exit(why())
            with lock():
                yield

        persistence.lock = explained

    def is_there(self, out: str) -> None:
        """Tell Snakemake that output `out` is in place.

        In a dry run it may be missing.  Then it gets the oldest time, because Snakemake reads the size of a file that
        is newer than a job's last benchmark.
        """
        self._workflow.iocache.exists_local[out] = True
        if self.dryrun and not os.path.exists(out):
            self._workflow.iocache.mtime[out] = Mtime(local=0.0)

    def force(self, outs: Iterable[str]) -> None:
        """Tell Snakemake that the job of these outputs has to run."""
        self._dag.forcefiles.update(outs)
