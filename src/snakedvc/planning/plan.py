"""Connect the driver to Snakemake, which runs exactly the stages that the driver found to be jobs.

In the process that plans, Snakemake's own triggers (newer files, remembered params) are turned off.  They would make
jobs of stages whose outputs are right.  Knows neither Snakemake's inside (internals.py) nor how a stage is settled.
"""

import os
import sys
from typing import Any, NoReturn

from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.errors import ProjectError, no_room
from snakedvc.planning.driver import UNAVAILABLE, Driver
from snakedvc.planning.drivers import at_work, register
from snakedvc.planning.internals import Snakemake, ancient


def _end(error: OSError) -> NoReturn:
    """End in one line where a disk takes nothing; anything else is a mistake of ours."""
    if why := no_room(error):
        sys.exit(f"error: {why}")
    raise error


class Plan:
    """Settles stages when Snakemake asks for their inputs, and makes Snakemake's DAG agree."""

    def __init__(self, workflow: Any, pipeline: Pipeline) -> None:
        self._pipeline, self._jobs = pipeline, set[str]()
        self._lead_to_jobs = set[str]()  # the stages that are jobs, and those below one
        try:
            self._snakemake = snakemake = Snakemake(workflow)
            snakemake.let_content_decide()
            if not snakemake.dryrun:
                register(snakemake.locks)
                snakemake.explain_lock(at_work)
            self._driver = Driver(
                pipeline,
                write=not snakemake.dryrun,
                forced=lambda s: s.name in snakemake.forced_rules or not snakemake.forced_files.isdisjoint(s.outs),
                target=lambda s: s.name in snakemake.asked_rules or not snakemake.asked_files.isdisjoint(s.outs),
                reserved=snakemake.locked_files(),
            )
        except ProjectError as e:
            sys.exit(f"error: {e}")
        except OSError as e:
            _end(e)

    @property
    def has_nothing_to_run(self) -> bool:
        """Whether this is no dry run, and all that was asked for is in place."""
        return bool(self.asked) and not self._jobs and not self._snakemake.dryrun

    @property
    def asked(self) -> list[str]:
        """The outputs that the user asked for, and those of the rules that were asked for."""
        outs = {out for stage in self._pipeline.stages.values() for out in stage.outs}
        rules = {out for name in self._snakemake.asked_rules for out in self._outs_of(name)}
        return sorted(outs & (self._snakemake.asked_files | rules))

    def _outs_of(self, name: str) -> list[str]:
        return [out for stage in self._pipeline.stages.values() if stage.name == name for out in stage.outs]

    def inputs(self, stage: Stage) -> list[str]:
        """Settle `stage` and all above it.  Returns its inputs as Snakemake shall see them."""
        try:
            if new := self._driver.settle(stage.addr):
                self._agree(new)
        except ProjectError as e:
            sys.exit(f"error: {e}")
        except OSError as e:
            _end(e)
        made = {out: s.addr for s in self._pipeline.upstream(stage) for out in s.outs}
        read = paths = self._pipeline.inputs(stage)
        if not self._snakemake.is_cut:
            # Snakemake need not look where there is no job above: a thousand stages take it seconds.
            paths = [p for p in paths if p not in made or made[p] in self._lead_to_jobs]
        if stage.addr in self._jobs:
            self._snakemake.lock_too(read)
            return paths
        # Content has decided.  So newer files mean nothing, nor does an input that is made again for another stage.
        lost = {p for p, addr in made.items() if self._driver.state(addr) in UNAVAILABLE}
        return [ancient(p) for p in paths if p not in lost]

    def _agree(self, addrs: list[str]) -> None:
        """Show Snakemake what was settled: the outputs are there, and only jobs are forced."""
        for addr in addrs:
            # A damaged one has empty outputs in its place, but in a dry run they are not made.
            if self._driver.state(addr) in ("right", "restored", "damaged"):
                for out in self._pipeline.stage(addr).outs:
                    self._snakemake.is_there(out)
        self._snakemake.keep_locks_folder()
        new = self._driver.jobs() - self._jobs
        self._jobs |= new
        self._lead_to_jobs = self._driver.with_readers(self._jobs)
        if self._jobs and not self._snakemake.dryrun:
            self._driver.check_writable()
        for addr in self._jobs:
            outs = self._pipeline.stage(addr).outs
            # Without outputs Snakemake gives a better reason itself.
            if self._driver.state(addr) == "damaged" or any(map(os.path.exists, outs)):
                self._snakemake.force(outs)
        self._driver.save_edits(new)
