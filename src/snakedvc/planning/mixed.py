"""Put away outputs that were made of other files than dvc.yaml now names, so that a folder never mixes two settings.

Such an output has the same path under several settings: `results/table.csv` of preset `a`, while the params say `b`.
The cache has it, and brings it back under the old params.
"""

from collections.abc import Collection
from pathlib import Path

from snakedvc.dvcfiles.locks import attempt, stage_lock
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.records import Brief
from snakedvc.dvcfiles.seen import Tree
from snakedvc.dvcfiles.store import Store, remove, say


def _is_of_others(stage: Stage, last: Brief | None) -> bool:
    """Whether the last record has none of the inputs that the stage now has: code and users' files do not count."""
    if last is None:
        return False
    before, now = (set(paths).difference(stage.named) for paths in (last.data, stage.data))
    return bool(before) and before.isdisjoint(now)


def put_away(pipeline: Pipeline, store: Store, reserved: Collection[str] = ()) -> list[str]:
    """Remove such outputs, as far as the cache has them and no other driver (`reserved`) uses them; their paths."""
    gone, tree = [], Tree(write=False)
    for stage in pipeline.stages.values():
        there = [out for out in stage.outs if Path(out).exists() and out not in reserved]
        if not there or not _is_of_others(stage, store.records.brief(stage.entry)):
            continue
        last = store.last(stage)
        if last is None or not _is_of_others(stage, Brief.of(last)):  # it is another item's
            continue
        with attempt(stage_lock(stage.addr)) as held:
            found = tree.hashes(stage.addr, stage.outs) if held is not None else {}
            # What is edited, or nowhere else, stays.
            made = {out: md5 for out in there if (md5 := found.get(out)) and md5 == last.made.get(out)}
            safe = [out for out, md5 in made.items() if not store.cache.missing([md5])]
            remove(safe)
            gone += safe
    if gone:
        say(f"put away, since they are of other inputs than the present ones: {', '.join(gone)}; the cache has them")
    return gone
