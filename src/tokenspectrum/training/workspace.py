"""Where a run keeps the files of its outputs until all of them are done: under the checkpoint folder.

A stage's outputs may be removed before it runs again, so files of earlier steps must not lie there alone.  A checkpoint
names every file that was written before it, with its sha256.  Other files are of steps that will be run again.  Knows
files.  Does not know what is in them.
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from tokenspectrum.tokenlog.writer import sha256, write_manifest


class Workspace:
    """Files by their path relative to `root`, each with its sha256."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, str] = {}

    def add(self, paths: Iterable[Path]) -> None:
        """Enter files that were just written, folders with all that is in them."""
        for path in paths:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                self.files[file.relative_to(self.root).as_posix()] = sha256(file)

    def damaged(self, files: Mapping[str, str]) -> Path | None:
        """The first of `files` that is not here with those bytes, None if all are."""
        for name, digest in files.items():
            path = self.root / name
            if not path.is_file() or sha256(path) != digest:
                return path
        return None

    def reset(self, files: Mapping[str, str]) -> None:
        """Hold exactly `files`; remove all others."""
        self.files = dict(files)
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(self.root).as_posix() not in self.files:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    def publish(self, targets: Mapping[str, Path]) -> None:
        """Copy policy, metrics and tokenlog each to its target, whole, with its manifest, over what was there."""
        for part, target in targets.items():
            temporary = target.with_name(f".{target.name}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(self.root / part, temporary, copy_function=shutil.copyfile)
            write_manifest(temporary)
            shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)
