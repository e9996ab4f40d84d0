"""Keep the files of a run's outputs below the checkpoint folder until all of them are done.

A stage's outputs may be removed before it runs again, so the files of earlier steps must also be kept elsewhere.  A
checkpoint names every file that was written before it, with its sha256.  All other files belong to steps that will run
again.  Knows files.  Does not know what is in them.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tokenspectrum.tokenlog.writer import sha256, write_manifest


class Workspace:
    """Files by their path relative to `root`, each with its sha256.

    `beat` is called after each file that takes its time, so that a watcher knows that the work goes on.
    """

    def __init__(self, root: Path, beat: Callable[[], None] = lambda: None) -> None:
        self.root, self._beat = root, beat
        self.files: dict[str, str] = {}

    def add(self, paths: Iterable[Path]) -> None:
        """Add files that were just written.  A folder is added with all files in it."""
        for path in paths:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                self.files[file.relative_to(self.root).as_posix()] = sha256(file)

    def damaged(self, files: Mapping[str, str]) -> Path | None:
        """The first of `files` that is missing or has other bytes; None if all are right."""
        for name, digest in files.items():
            path = self.root / name
            if not path.is_file() or sha256(path) != digest:
                return path
            self._beat()
        return None

    def reset(self, files: Mapping[str, str]) -> None:
        """Keep exactly `files`, and remove all others."""
        self.files = dict(files)
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(self.root).as_posix() not in self.files:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    def publish(self, targets: Mapping[str, Path]) -> None:
        """Copy policy, metrics and tokenlog to their targets, each with its manifest, and replace what was there."""

        def copied(source: str, copy: str) -> None:
            shutil.copyfile(source, copy)
            self._beat()

        for part, target in targets.items():
            temporary = target.with_name(f".{target.name}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(self.root / part, temporary, copy_function=copied)
            write_manifest(temporary)
            self._beat()
            shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)
