"""What Snakemake runs: exactly the stages that the driver could not settle.  The seam between the two.

 Snakemake's own triggers (newer files, what it remembers of params) are set aside in the process that plans: they
would make jobs of stages whose outputs are right.  Knows Snakemake's DAG and settings, not how a stage is settled.
"""

import os
import sys
import time
from typing import Any

from snakemake.io import ancient
from snakemake.settings.types import RerunTrigger
from snakemake_interface_storage_plugins.io import Mtime

from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.errors import ProjectError
from snakedvc.planning.driver import UNAVAILABLE, Driver
from snakedvc.planning.drivers import register


class Plan:
    """Settles stages as Snakemake comes upon them, and makes its DAG agree."""

    def __init__(self, workflow: Any, pipeline: Pipeline) -> None:
        self._workflow, self._pipeline = workflow, pipeline
        self._jobs: set[str] = set()
        dag = workflow.dag
        asked = {str(f) for f in dag.targetfiles} | {str(f) for rule in dag.targetrules for f in rule.input}
        rules = {rule.name for rule in dag.targetrules}
        forced_rules, forced_files = {r.name for r in dag.forcerules}, {str(f) for f in dag.forcefiles}
        # Content decides, not times, nor Snakemake's memory.  Half-written outputs have a mark of the bridge's own.
        workflow.dag_settings.rerun_triggers = frozenset({RerunTrigger.MTIME})
        dag.ignore_incomplete = True
        locks = workflow.persistence.path / "locks"
        try:
            if not workflow.dryrun:
                register(locks)
            self._driver = Driver(
                pipeline,
                write=not workflow.dryrun,
                forced=lambda s: s.name in forced_rules or not forced_files.isdisjoint(s.outs),
                target=lambda s: s.name in rules or not asked.isdisjoint(s.outs),
                reserved={line for path in locks.glob("*.lock") for line in path.read_text().splitlines()},
            )
        except ProjectError as e:
            sys.exit(f"error: {e}")

    def inputs(self, stage: Stage) -> list[str]:
        """What Snakemake shall take for the inputs of `stage`, once it and all above it are settled."""
        try:
            if new := self._driver.settle(stage.addr):
                self._agree(new)
        except ProjectError as e:
            sys.exit(f"error: {e}")
        paths, state = self._pipeline.inputs(stage), self._driver.state
        if stage.addr in self._jobs:
            return paths
        # Settled by content: newer files mean nothing, nor that an input has to be made again for another stage.
        made = {out: s.addr for s in self._pipeline.upstream(stage) for out in s.outs}
        return [ancient(p) for p in paths if p not in made or state(made[p]) not in UNAVAILABLE]

    def _agree(self, addrs: list[str]) -> None:
        """Let Snakemake see what was settled: the outputs are there, and only jobs are forced."""
        io, dag = self._workflow.iocache, self._workflow.dag
        for addr in addrs:
            if self._driver.state(addr) in ("right", "restored"):
                for out in self._pipeline.stage(addr).outs:
                    io.exists_local[out] = True
                    if not os.path.exists(out):  # in a dry run
                        io.mtime[out] = Mtime(local=time.time())
        # Another driver that ends removes this folder, which Snakemake expects to find.
        (self._workflow.persistence.path / "locks").mkdir(exist_ok=True)
        self._jobs |= self._driver.jobs()
        for addr in self._jobs:
            outs = self._pipeline.stage(addr).outs
            if any(map(os.path.exists, outs)):  # where nothing is, Snakemake finds a better reason itself
                dag.forcefiles.update(outs)
