"""Find what runs leave behind beside the records: checkpoints, outputs set aside, temporary files of killed runs.

Deletes nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from snakedvc.code.freeze import FROZEN
from snakedvc.dvcfiles.cache import Cache
from snakedvc.dvcfiles.pipeline import Pipeline
from snakedvc.planning.inventory import Inventory
from snakedvc.running.inputs import ALTERED
from snakedvc.running.run import CHECKPOINTS

IsOld = Callable[[float], bool]


@dataclass(frozen=True)
class Leftover:
    """A file or folder that can be deleted, the reason, and its bytes."""

    path: Path
    why: str
    bytes: int


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 if it is gone."""
    try:
        if path.is_dir() and not path.is_symlink():
            return sum(map(size, path.iterdir()))
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _touched(path: Path) -> float:
    """When anything in it was last written, seconds since 1970."""
    return max((p.lstat().st_mtime for p in [path, *path.rglob("*")]), default=0.0)


def _checkpoints(pipeline: Pipeline, inventory: Inventory, is_old: IsOld) -> Iterator[tuple[str, Path, str]]:
    """(template, folder, reason) of checkpoints that no present run would resume from."""
    finished = {run.key[:16] for run in inventory.runs}
    for path in sorted(p for p in CHECKPOINTS.glob("*/*") if p.is_dir()):
        addr = path.parent.name
        template = addr.partition("@")[0]
        if path.name in finished:
            yield template, path, "checkpoint of a run that has finished"
            continue
        if addr in pipeline.stages:
            wanted = inventory.audit.wanted(pipeline.stages[addr])
            # While an input is not known, the key is not known either.  It may be this one.
            if wanted.key[:16] == path.name or not all(dep.md5 for dep in wanted.deps):
                continue
        if is_old(_touched(path)):
            yield template, path, "checkpoint of other code, params or inputs than the present ones"


def leftovers(
    pipeline: Pipeline, inventory: Inventory, cache: Cache, is_old: IsOld, stage: str | None
) -> Iterator[Leftover]:
    """What can be deleted.  If a `stage` is named, only its checkpoints."""
    for template, path, why in _checkpoints(pipeline, inventory, is_old):
        if stage in (None, template):
            yield Leftover(path, why, size(path))
    if stage is not None:
        return
    for folder, pattern, why in (
        (ALTERED, "*", "outputs that were edited by hand and set aside"),
        (FROZEN, "*", "code of a run that was killed"),
        (cache.root / "files" / "md5", ".*.tmp", "unfinished copy of a run that was killed"),
    ):
        for path in sorted(folder.glob(pattern)):
            if is_old(_touched(path)):
                yield Leftover(path, why, size(path))
