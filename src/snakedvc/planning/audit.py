"""Whether each stage's last record stands for the present params, code and inputs, without reading what stages made.

The reasons say what differs; `spectrum status` shows them.
"""

from collections.abc import Mapping
from typing import Any

from snakedvc.dvcfiles.cache import Cache
from snakedvc.dvcfiles.config import read_config
from snakedvc.dvcfiles.hashes import DepHashes
from snakedvc.dvcfiles.pipeline import CODE_ROOT, Pipeline, Stage
from snakedvc.dvcfiles.records import Record, Records, make_record, run_key

NEVER = "never made"


def param_changes(old: Any, new: Any, name: str) -> list[str]:
    """`train.steps: 3 -> 4` for every leaf that differs below `name`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(k for k in new if k not in old)]
        return [line for k in keys for line in param_changes(old.get(k), new.get(k), f"{name}.{k}")]
    return [] if old == new else [f"{name}: {old} -> {new}"]


def _param_reasons(stage: Stage, record: Record, pipeline: Pipeline) -> list[str]:
    old = record.get("params", {}).get("params.yaml", {})
    new = pipeline.values(stage)
    listed = [f"param {k} is {'now' if k in new else 'no longer'} listed" for k in sorted(old.keys() ^ new.keys())]
    return listed + [line for k in sorted(old.keys() & new.keys()) for line in param_changes(old[k], new[k], k)]


class Audit:
    """The reasons of every stage, by address; empty where the record stands."""

    def __init__(self, pipeline: Pipeline, records: Records, cache: Cache) -> None:
        self._pipeline, self._records, self._cache = pipeline, records, cache
        self._hashes = DepHashes(pipeline, self._made, lambda _, md5: cache.listing(md5))

    def _made(self, out: str) -> str | None:
        """The hash that an output's stage last recorded for it."""
        record = self._records.get(self._pipeline.producers[out].addr) or {}
        return next((o["md5"] for o in record.get("outs", []) if o["path"] == out), None)

    def in_run_cache(self, stage: Stage) -> bool:
        """Whether the run cache has a result for the present params and code and the recorded inputs."""
        hashes = {d: self._hashes.of(d) for d in stage.deps}
        deps = [{"path": path, "hash": "md5", "md5": md5} for path, md5 in hashes.items()]
        key = run_key(make_record(stage.cmd, deps, self._pipeline.values(stage)), stage.outs)
        return any(not self._cache.missing(record["outs"]) for record in self._cache.records(key))

    def reasons(self, stage: Stage) -> list[str]:
        """Why the record of `stage` does not stand; an empty list if it does."""
        record = self._records.get(stage.addr)
        if record is None:
            return [NEVER]
        reasons = [] if record["cmd"] == stage.cmd else ["its command in dvc.yaml changed"]
        reasons += _param_reasons(stage, record, self._pipeline)
        old = {d["path"]: d.get("md5") for d in record.get("deps", [])}
        for path in sorted(old.keys() | set(stage.deps)):
            if path not in stage.deps:
                reasons.append(f"{path} is no longer a dep")
            elif path not in old:
                reasons.append(f"{path} is a new dep")
            elif path.startswith(CODE_ROOT):
                if self._hashes.code(path) != old[path]:
                    reasons.append(f"{path} changed")
            elif (now := self._hashes.data(path)) is not None and now != old[path]:
                reasons.append(f"{path} changed")
        if sorted(o["path"] for o in record.get("outs", [])) != sorted(stage.outs):
            reasons.append("its outputs' paths changed")
        return reasons


def auditor(pipeline: Pipeline) -> Audit:
    """The audit of `pipeline` in this project."""
    return Audit(pipeline, Records(), Cache(read_config().cache_dir))
