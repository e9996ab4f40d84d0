"""Record existing outputs under new code after a pure refactor, and write down that this was done.

Only code may differ: a changed param, command or input means that the outputs were made from something else.
"""

import json
import time
from pathlib import Path
from typing import Any

from snakedvc.code.freeze import code_entries
from snakedvc.dvcfiles.cache import Cache
from snakedvc.dvcfiles.config import read_config
from snakedvc.dvcfiles.pipeline import CODE_ROOT, Pipeline, Stage
from snakedvc.dvcfiles.records import Record, Records, make_record, save_fragment
from snakedvc.errors import ProjectError
from snakedvc.planning.audit import NEVER, auditor
from snakedvc.running import journal

# Committed with the code it speaks of; the same lines go to logs/accepted.jsonl.
ACCEPTED = Path(".dvc/accepted.jsonl")
ACCEPTED_LOG = Path("logs/accepted.jsonl")


def _code(record: Record) -> dict[str, str]:
    return {d["path"]: d["md5"] for d in record["deps"] if d["path"].startswith(CODE_ROOT)}


def _accept_one(stage: Stage, pipeline: Pipeline, old: Record, cache: Cache, reason: str) -> dict[str, Any]:
    data = [d for d in old["deps"] if not d["path"].startswith(CODE_ROOT)]
    new = make_record(stage.cmd, code_entries(stage) + data, pipeline.values(stage), old["outs"])
    key = cache.save_record(new)
    save_fragment(stage.addr, new)
    before, after = _code(old), _code(new)
    changed = {
        path: [before.get(path), after.get(path)]
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    }
    journal.note(stage.addr, "accepted", key, 0.0)
    return {
        "stage": stage.addr,
        "reason": reason,
        "code": changed,
        "outs": {o["path"]: o["md5"] for o in old["outs"]},
        "key": key,
        "git": journal.revision(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def accept(pipeline: Pipeline, name: str, reason: str) -> list[str]:
    """Accept every stage that `name` means (a stage of dvc.yaml or one address); the addresses that were accepted.

    Nothing is accepted if any of them has no result or differs in more than its code (ProjectError).
    """
    by, records, cache = auditor(pipeline), Records(), Cache(read_config().cache_dir)
    stale = [s for s in pipeline.matching(name) if by.reasons(s)]
    for stage in stale:
        reasons = by.reasons(stage)
        if reasons == [NEVER]:
            raise ProjectError(f"{stage.addr}: never made, so there is nothing to accept: run it")
        if other := [r for r in reasons if not r.startswith(CODE_ROOT)]:
            raise ProjectError(f"{stage.addr}: cannot be accepted, more than its code changed: {other[0]}")
        record = records.get(stage.addr)
        if record is None or cache.missing(record["outs"]):
            raise ProjectError(f"{stage.addr}: its outputs are not in the cache, so they cannot be accepted: run it")
    lines = [_accept_one(s, pipeline, records.get(s.addr) or {}, cache, reason) for s in stale]
    for path in (ACCEPTED, ACCEPTED_LOG):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as f:
            f.writelines(json.dumps(line, sort_keys=True) + "\n" for line in lines)
    return [s.addr for s in stale]
