"""Find what can be deleted from the cache, and delete it.

Nothing is deleted that the present params or dvc.lock need, and nothing while a stage runs.  A run record is deleted
before its objects.  So no record points at missing objects, even if the deletion is interrupted.
"""

import contextlib
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snakedvc.dvcfiles.cache import Cache
from snakedvc.dvcfiles.locks import STAGE_LOCKS, attempt, stage_lock
from snakedvc.dvcfiles.pipeline import Pipeline
from snakedvc.dvcfiles.store import Store, remove
from snakedvc.errors import ProjectError
from snakedvc.planning.drivers import none_may_start
from snakedvc.planning.inventory import OTHER, Run, take
from snakedvc.planning.leftovers import Leftover, leftovers, size

DAY = 86400.0
# In a shared cache a stage of another checkout may have stored objects before the record that names them.
SHARED_DAYS = 1.0


@dataclass(frozen=True)
class Row:
    """What one stage has in the cache.  An object that several stages name counts for the first of them.

    runs, needed, going  run records;  bytes: of their objects;  used: the latest use, seconds since 1970
    """

    stage: str
    runs: int
    needed: int
    going: int
    bytes: int
    used: float


@dataclass(frozen=True)
class Plan:
    """What is in the cache, and what can go: run records, then objects, then what runs left over."""

    rows: tuple[Row, ...]
    records: tuple[Path, ...]
    objects: tuple[Path, ...]
    leftovers: tuple[Leftover, ...]
    bytes: int  # that are freed


def is_shared(cache: Cache) -> bool:
    """Whether the cache lies outside this checkout, so that others may use it."""
    return not cache.root.resolve().is_relative_to(Path.cwd().resolve())


def _objects(cache: Cache) -> dict[str, Path]:
    """Every object in the cache, by its name."""
    return {p.parent.name + p.name: p for p in (cache.root / "files" / "md5").glob("[0-9a-f][0-9a-f]/*")}


def _rows(runs: list[Run], going: set[Path], cache: Cache, sizes: dict[str, int]) -> Iterator[Row]:
    counted: set[str] = set()
    for stage in dict.fromkeys(run.stage for run in runs):
        own = [run for run in runs if run.stage == stage]
        names = cache.objects(md5 for run in own for md5 in run.hashes) - counted
        counted |= names
        yield Row(
            stage=stage,
            runs=len(own),
            needed=sum(run.needed for run in own),
            going=sum(run.path in going for run in own),
            bytes=sum(sizes.get(name, 0) for name in names),
            used=max(run.used for run in own),
        )
    if rest := sizes.keys() - counted:
        yield Row("(no record)", 0, 0, 0, sum(sizes[name] for name in rest), 0.0)


def plan(pipeline: Pipeline, store: Store, days: float, stage: str | None = None) -> Plan:
    """What can be deleted among what was not used for `days`; only of `stage` of dvc.yaml, if one is named."""
    known = [*pipeline.templates, OTHER]
    if stage is not None and stage not in known:
        raise ProjectError(f"--stage {stage}: no such stage; there are {', '.join(known)}")
    cache, now = store.cache, time.time()
    if is_shared(cache):
        days = max(days, SHARED_DAYS)

    def is_old(used: float) -> bool:
        return days == 0 or used < now - days * DAY

    inventory = take(pipeline, store)
    order = {name: i for i, name in enumerate(known)}
    runs = sorted(inventory.runs, key=lambda run: order[run.stage])
    going = {r.path: r for r in runs if not r.needed and is_old(r.used) and stage in (None, r.stage)}
    objects = _objects(cache)
    sizes = {name: size(path) for name, path in objects.items()}
    staying = inventory.needed.union(*(run.hashes for run in runs if run.path not in going))
    kept = cache.objects(staying)
    named = cache.objects(md5 for run in runs for md5 in run.hashes)
    free = cache.objects(md5 for run in going.values() for md5 in run.hashes) - kept
    if stage is None:
        free |= {name for name in objects.keys() - named - kept if is_old(objects[name].stat().st_mtime)}
    gone = sorted(objects[name] for name in free & objects.keys())
    left = tuple(leftovers(pipeline, inventory, cache, is_old, stage))
    freed = sum(map(size, [*going, *gone])) + sum(one.bytes for one in left)
    return Plan(tuple(_rows(runs, set(going), cache, sizes)), tuple(going), tuple(gone), left, freed)


@contextlib.contextmanager
def nothing_runs(pipeline: Pipeline) -> Iterator[None]:
    """Prevent stages and drivers from starting within the block; a ProjectError if one runs already."""
    addrs = pipeline.stages.keys() | {path.stem for path in STAGE_LOCKS.glob("*.lock")}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # one open file for each stage
    try:
        with none_may_start(), contextlib.ExitStack() as held:
            for addr in sorted(addrs):
                if held.enter_context(attempt(stage_lock(addr))) is None:
                    raise ProjectError(f"{addr}: runs now; nothing is deleted while a stage runs")
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def delete(found: Plan) -> None:
    """Delete what `found` lists.  Call it only where nothing runs."""
    for record in found.records:
        record.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the folder may hold other records of the same inputs
            record.parent.rmdir()
    for path in found.objects:
        path.unlink(missing_ok=True)
    for left in found.leftovers:
        remove([str(left.path)])
        with contextlib.suppress(OSError):
            left.path.parent.rmdir()
