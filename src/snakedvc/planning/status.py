"""What would happen to each stage if the pipeline ran now, and why.  Changes nothing."""

from dataclasses import dataclass
from typing import Literal

from snakedvc.dvcfiles.locks import half_written
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.record import Record
from snakedvc.dvcfiles.seen import Tree
from snakedvc.dvcfiles.store import Store
from snakedvc.planning.audit import Audit
from snakedvc.planning.devices import device
from snakedvc.planning.differences import differences

State = Literal["in place", "cached", "stale", "missing"]
STANDS: tuple[State, ...] = ("in place", "cached")


@dataclass(frozen=True)
class StageStatus:
    """The state of one stage, and every reason for it.

    in place: its result is valid and in the working tree.  cached: it is valid, and is brought back when it is needed,
    from the cache or from the remote.
    stale: it was made from other inputs, and has to run.  missing: there is no result, or its objects are lost.
    """

    name: str
    addr: str
    state: State
    why: tuple[str, ...] = ()
    device: str | None = None  # the kind that made a valid result, where this tree knows it


def _standing(stage: Stage, result: Record, store: Store, tree: Tree) -> tuple[State, list[str]]:
    """State and reasons of a stage that has a result for the present inputs."""
    there = {} if half_written(stage.addr) else tree.hashes(stage.addr, stage.outs)
    wrong = {out: md5 for out, md5 in result.made.items() if there.get(out) != md5}
    if not wrong:
        return "in place", []
    altered = [f"{out} was altered" for out in wrong if there.get(out)]
    if not store.cache.missing(wrong.values()):
        return "cached", altered
    if not store.missing_everywhere(wrong.values()):
        return "cached", [*altered, "in the remote"]
    nor = " nor in the remote" if store.reachable else ""
    return "missing", [*altered, f"{', '.join(wrong)}: neither here nor in the cache{nor}"]


def _falling(stage: Stage, audit: Audit) -> tuple[State, list[str]]:
    """State and reasons of a stage that has no such result."""
    older, waits = audit.older(stage), audit.waits_for(stage)
    if not older:
        return "missing", ["never made"]
    # Of all results made at these paths, the one nearest to the present inputs shows best what changed.
    why = min(([d.what for d in differences(old, audit.wanted(stage))] for old in older), key=len)
    more = f" and {len(waits) - 1} more" if len(waits) > 1 else ""
    return "stale", [*why, *([f"below {waits[0].addr}{more}"] if waits else [])]


def status(pipeline: Pipeline, store: Store) -> list[StageStatus]:
    """Every concrete stage, producers before readers.  The remote is asked for what is not here."""
    audit, tree, found = Audit(pipeline, store, far=True), Tree(write=False), []
    for stage in pipeline.topological():
        result = audit.result(stage)
        if result:
            state, why = _standing(stage, result, store, tree)
        else:
            state, why = _falling(stage, audit)
        made_on = device(stage, result.key) if result and state in STANDS else None
        found.append(StageStatus(stage.name, stage.addr, state, tuple(why), made_on))
    return found
