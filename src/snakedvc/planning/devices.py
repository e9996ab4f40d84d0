"""On what kind of device each result was made, and where the results of one stage come from different kinds.

Kinds may round differently.  Rows of a table that come from different kinds differ by that too.  Reads the provenance
of runs.  A result that was made elsewhere, and came from a remote, has none here: its kind is not known.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.running.journal import PROVENANCE
from snakedvc.running.machine import NEEDED, other_bytes


def kind(provenance: Mapping[str, Any]) -> str:
    """The kind that a run's provenance names.  All CPUs with AVX2 are one, but for hosts that compute other bytes."""
    if provenance["gpus"] and provenance["devices"] != "":
        return ", ".join(dict.fromkeys(provenance["gpus"]))
    if provenance["host"] in other_bytes():
        return f"{provenance['cpu']} of {provenance['host']}, which computes other bytes"
    return "CPU with AVX2" if set(provenance["instruction_sets"]) >= NEEDED else f"{provenance['cpu']} without AVX2"


def device(stage: Stage, key: str) -> str | None:
    """The kind that made the result with this key; None if this tree does not know."""
    try:
        provenance = json.loads((stage.log_dir / PROVENANCE).read_text())
        return kind(provenance) if provenance["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def mixtures(pipeline: Pipeline, devices: Mapping[str, str | None]) -> Iterator[str]:
    """A line for each stage of dvc.yaml whose results come from several kinds.  `devices`: known kinds by address."""
    made: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for addr, name in devices.items():
        if name:
            made[pipeline.stage(addr).name][name].append(addr)
    read = {up.addr for stage in pipeline.stages.values() for up in pipeline.upstream(stage)}
    last = [addr for addr in pipeline.stages if addr not in read]
    for name, kinds in made.items():
        if len(kinds) > 1:
            parts = [f"{len(addrs)} of {of} ({addrs[0]}{', ...' * (len(addrs) > 1)})" for of, addrs in kinds.items()]
            feeds = [addr for addr in last if name in {stage.name for stage in pipeline.above(addr)}]
            yield f"{', '.join(feeds)}: results of {name} come from different kinds of device: {', '.join(parts)}"
