"""Record existing outputs under new code after a pure refactor, and write down that this was done.

Only code may differ.  With `wiring`, the command may differ too, and the lists of deps and params.  A changed value is
never accepted, because the outputs were then made from something else.  Nor is an input whose content is not known.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.record import Record
from snakedvc.dvcfiles.records import fold, save_fragment
from snakedvc.dvcfiles.store import Store
from snakedvc.errors import ProjectError
from snakedvc.planning.audit import Audit
from snakedvc.planning.differences import differences
from snakedvc.running import journal

# This file is committed together with the code.  The same lines go to logs/accepted.jsonl.
ACCEPTED = Path(".dvc/accepted.jsonl")
ACCEPTED_LOG = Path("logs/accepted.jsonl")


@dataclass(frozen=True)
class Decision:
    """What happens to one stage: its result is accepted under a new key, or a reason why not.

    `standing`: its result is valid already, and nothing has to be done.
    """

    stage: Stage
    what: Literal["accepted", "standing", "never made", "refused"]
    why: str = ""
    old: Record | None = None
    new: Record | None = None


def _decide(stage: Stage, audit: Audit, store: Store, allowed: tuple[str, ...]) -> Decision:
    if audit.result(stage):
        return Decision(stage, "standing")
    older = audit.older(stage)
    if not older:
        return Decision(stage, "never made")
    if waits := audit.waits_for(stage):
        return Decision(stage, "refused", f"its input from {waits[0].addr} is not there")
    wanted, why = audit.wanted(stage), ""
    if unknown := [dep.path for dep in wanted.deps if dep.md5 is None]:
        return Decision(stage, "refused", audit.why_unknown(stage, unknown[0]))
    for old in older:
        more = [d.what for d in differences(old, wanted) if d.kind not in allowed]
        if more:
            why = why or f"more than its code changed: {more[0]}"
        elif store.cache.missing(old.made.values()):
            why = why or "its outputs are not in the cache"
        else:
            return Decision(stage, "accepted", "", old, wanted.with_outs(old.outs))
    return Decision(stage, "refused", why)


def decide(pipeline: Pipeline, store: Store, wiring: bool) -> Iterator[Decision]:
    """What happens to every stage, producers before readers.  A stage sees the outputs of accepted stages above it."""
    audit = Audit(pipeline, store)
    allowed = ("code", "command", "listed") if wiring else ("code",)
    for stage in pipeline.topological():
        decision = _decide(stage, audit, store, allowed)
        if decision.new:
            audit.take(stage, decision.new)
        yield decision


def _line(decision: Decision, reason: str) -> str:
    old, new = decision.old, decision.new
    assert old is not None
    assert new is not None
    paths = sorted(old.code.keys() | new.code.keys())
    return json.dumps(
        {
            "stage": decision.stage.addr,
            "reason": reason,
            "code": {p: [old.code.get(p), new.code.get(p)] for p in paths if old.code.get(p) != new.code.get(p)},
            "other": [d.what for d in differences(old, new) if d.kind != "code"],
            "outs": new.made,
            "key": new.key,
            "old_key": old.key,
            "git": journal.revision(),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        sort_keys=True,
    )


def accept(pipeline: Pipeline, store: Store, name: str | None, reason: str, wiring: bool = False) -> list[Decision]:
    """Accept all stages that `name` means (a stage of dvc.yaml or one address), or all stages.  Returns each decision.

    If a named stage differs in more than its code, this is a ProjectError and nothing is accepted.  Stages that never
    ran are left out.
    """
    asked = {s.addr for s in (pipeline.matching(name) if name else pipeline.stages.values())}
    found = []
    for decision in decide(pipeline, store, wiring):
        if decision.stage.addr in asked:
            found.append(decision)
            if name and decision.what == "refused":
                raise ProjectError(f"{decision.stage.addr}: cannot be accepted: {decision.why}")
    for decision in found:
        if decision.new:
            store.save(decision.new)
            save_fragment(decision.stage.entry, decision.new)
            journal.note(decision.stage.addr, "accepted", decision.new.key, 0.0)
    lines = [_line(d, reason) + "\n" for d in found if d.new]
    for path in (ACCEPTED, ACCEPTED_LOG) if lines else ():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as f:
            f.writelines(lines)
    fold()
    return found
