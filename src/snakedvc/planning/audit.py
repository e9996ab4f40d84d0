"""Find every stage's result for the present params, code and inputs, and its older ones.

The hashes of inputs follow from the results of the stages above.  So no file that a stage made is read.
"""

from snakedvc.dvcfiles.cache import DamagedObjectError, MissingObjectError
from snakedvc.dvcfiles.hashes import DepHashes
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.record import Record
from snakedvc.dvcfiles.store import Store


class Audit:
    """What is known of each stage's result.  It is found once for every stage, producers before readers."""

    def __init__(self, pipeline: Pipeline, store: Store, far: bool = False) -> None:
        """With `far`, the remote is asked for what is not here."""
        self._pipeline, self._store, self._far = pipeline, store, far
        self._hashes = DepHashes(pipeline, self._made, self._listing)
        self._wanted: dict[str, Record] = {}
        self._results: dict[str, Record | None] = {}
        self._by_outs: dict[tuple[str, ...], list[Record]] | None = None

    def _made(self, out: str) -> str | None:
        result = self.result(self._pipeline.producers[out])
        return result.made[out] if result else None

    def _listing(self, _: str, md5: str) -> dict[str, str]:
        try:
            return self._store.cache.listing(md5)
        except (MissingObjectError, DamagedObjectError):
            if not self._far:
                raise
        return self._store.listing_elsewhere(md5)

    def wanted(self, stage: Stage) -> Record:
        """The record that a run would have before it starts.  An input that is not known yet has no hash."""
        if stage.addr not in self._wanted:
            self._wanted[stage.addr] = self._pipeline.record(stage, self._hashes.entries(stage))
        return self._wanted[stage.addr]

    def waits_for(self, stage: Stage) -> list[Stage]:
        """The stages above that have to run first."""
        return [up for up in self._pipeline.upstream(stage) if self.result(up) is None]

    def why_unknown(self, stage: Stage, dep: str) -> str:
        """Why the hash of a dep is not known, though no stage above has to run."""
        makers = {self._pipeline.producers[out].name for out in self._pipeline.made_under(dep, stage)}
        if not makers:
            return f"{dep} is not there"
        again = f"`snakemake -R {' '.join(sorted(makers))}`"
        return f"the content of its input {dep} is not known, since the cache has lost a list of its files: {again}"

    def result(self, stage: Stage) -> Record | None:
        """The result for the present inputs; None if there is none, or if an input is not known."""
        if stage.addr not in self._results:
            wanted = self.wanted(stage)
            known = all(d.md5 for d in wanted.deps)
            self._results[stage.addr] = self._find(stage, wanted) if known else None
        return self._results[stage.addr]

    def _find(self, stage: Stage, wanted: Record) -> Record | None:
        found = next(self._store.here(wanted, stage), None)
        if found is None and self._far and self._store.reachable:
            found = next(self._store.elsewhere(wanted), None)
        return found

    def take(self, stage: Stage, record: Record) -> None:
        """Use `record` as the result of `stage` from now on."""
        self._results[stage.addr] = record

    def older(self, stage: Stage) -> list[Record]:
        """Results with the same output paths from any inputs: the stage's last, then the run cache's, newest first."""
        if self._by_outs is None:
            self._by_outs = {}
            for record in self._store.cache.all_records():
                self._by_outs.setdefault(tuple(record.made), []).append(record)
        paths, last = tuple(sorted(stage.outs)), self._store.last(stage)
        own = [last] if last and tuple(last.made) == paths else []
        return own + self._by_outs.get(paths, [])
