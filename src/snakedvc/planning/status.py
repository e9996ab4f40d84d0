"""What would happen to each stage if the pipeline were run now, and why.  Reads records and file sizes, no data."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from snakedvc.dvcfiles.cache import Cache
from snakedvc.dvcfiles.digest import files_under
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.records import Records
from snakedvc.planning.audit import NEVER, Audit

State = Literal["cached", "stale", "missing"]


@dataclass(frozen=True)
class StageStatus:
    """cached: its result stands; stale: it would run or be restored; missing: it has no result."""

    addr: str
    state: State
    why: str


def altered(entry: dict[str, Any]) -> bool:
    """Whether an output in the working tree differs in size or number of files from its record."""
    path = Path(entry["path"])
    if path.is_dir():
        sizes = [p.stat().st_size for _, p in files_under(path)]
        return (sum(sizes), len(sizes)) != (entry.get("size"), entry.get("nfiles"))
    return path.stat().st_size != entry.get("size")


def _standing(stage: Stage, records: Records, cache: Cache) -> StageStatus:
    """Status of a stage whose record stands for the present inputs."""
    outs = (records.get(stage.addr) or {})["outs"]
    absent = [o for o in outs if not os.path.exists(o["path"])]
    if changed := [o["path"] for o in outs if o not in absent and altered(o)]:
        return StageStatus(stage.addr, "stale", f"{', '.join(changed)} was altered: delete it and run again")
    if not absent:
        return StageStatus(stage.addr, "cached", "")
    names = ", ".join(o["path"] for o in absent)
    if cache.missing(absent):
        return StageStatus(stage.addr, "missing", f"{names}: neither here nor in the cache")
    return StageStatus(stage.addr, "cached", f"{names}: restored when needed")


def status(pipeline: Pipeline, by: Audit, records: Records, cache: Cache) -> list[StageStatus]:
    """Every concrete stage, producers before readers."""
    found: dict[str, StageStatus] = {}
    for stage in pipeline.topological():
        reasons = by.reasons(stage)
        waits = [s.addr for s in pipeline.upstream(stage) if found[s.addr].state != "cached"]
        if reasons == [NEVER]:
            found[stage.addr] = StageStatus(stage.addr, "missing", NEVER)
        elif reasons:
            kept = not waits and by.in_run_cache(stage)
            why = "; ".join(reasons) + (" (this variant is in the cache)" if kept else "")
            found[stage.addr] = StageStatus(stage.addr, "stale", why)
        elif waits:
            more = f" and {len(waits) - 1} more" if len(waits) > 1 else ""
            found[stage.addr] = StageStatus(stage.addr, "stale", f"below {waits[0]}{more}")
        else:
            found[stage.addr] = _standing(stage, records, cache)
    return list(found.values())
