"""What a Snakefile needs from the pipeline: a rule for every stage, with output patterns, inputs and a signature.

    from snakedvc.planning.snake import RULES, open_stages

    stages = open_stages(workflow)

    include: RULES

Knows Snakemake's wildcards and flags.  The Snakefile says what a job asks for (memory, time, threads).
"""

import atexit
import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.seen import Given
from snakedvc.dvcfiles.templates import DVC_YAML
from snakedvc.errors import ProjectError
from snakedvc.planning.internals import directory, plans, report

RULES = str(Path(__file__).with_name("stages.smk"))
# What a job asks for beside its resources, with the defaults.
_OPTIONS: dict[str, Any] = {"threads": 1, "priority": 0, "local": False, "conda": None}
Needs = Callable[[str], Mapping[str, Any]]
Told = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Job:
    """How Snakemake runs the jobs of one stage template."""

    name: str
    log: str
    benchmark: str
    message: str
    threads: int
    priority: int
    local: bool
    conda: str | None
    resources: Mapping[str, Any] = field(default_factory=dict)


_hash = lru_cache(None)(Given(write=False).hash)


class Stages:
    """The pipeline, seen by Snakemake.  A mistake in dvc.yaml, params.yaml or the code deps is a ProjectError."""

    def __init__(
        self,
        workflow: Any = None,
        needs: Needs | None = None,
        refused: Mapping[str, str] | None = None,
        told: Told | None = None,
        reported: Mapping[str, Mapping[str, Any]] | None = None,
        landing: Path | None = None,
    ) -> None:
        """`workflow`: Snakemake's workflow in the process that plans; None in the process of a single job.

        `needs(name)`: what a job of the stage asks for, by the names of Snakemake's resources, beside `threads`,
        `priority`, `local` (it runs where Snakemake runs) and `conda` (an environment file).
        `refused`: stages that cannot run under these params, each with a line that says why.
        `told(outputs)`: what to say at the end of a run that succeeded, of the outputs that were asked for.
        `reported`: outputs that belong into Snakemake's report, each with the options of its report().
        `landing`: the first page of that report.  The rules declare it: in a module from a Git host, Snakemake would
        look for it in that repository.
        """
        self.pipeline: Pipeline = load_pipeline()
        self._workflow, self._needs = workflow, needs
        self._refused = refused or {}
        self._untold = list(self._refused.values())
        self._told = told
        self._reported = reported or {}
        self._exact: str | None = None  # the state of the code, if it was seen just now that nothing has drifted
        self.landing = str(landing.absolute()) if landing else None

    @cached_property
    def _plan(self) -> Any:
        """The plan, which decides which stages are jobs.  None if nothing runs, as for a picture of the DAG."""
        if not plans(self._workflow):
            return None
        from snakedvc.code.deps import note_exact, state
        from snakedvc.planning.plan import Plan

        if self._exact and not self._workflow.dryrun and state(self.pipeline) == self._exact:  # nobody edited meanwhile
            note_exact(self._exact)
        return Plan(self._workflow, self.pipeline)

    def say_what_was_made(self) -> None:
        """At the end of a run that succeeded."""
        if self._told and self._plan:
            told, self._told = self._told, None
            told(self._plan.asked)

    def say_what_is_there(self) -> None:
        """At the end of a process that had nothing to run: then Snakemake calls nobody."""
        plan = self.__dict__.get("_plan")  # of a process that planned
        if plan and plan.has_nothing_to_run:
            self.say_what_was_made()

    def check(self) -> None:
        """Refuse missing params, missing given files, and code deps that are not the import closures.

        It is better to raise the ProjectError now than when a stage runs.
        """
        from snakedvc.code.deps import drift, state, was_exact

        for stage in self.pipeline.stages.values():
            self.pipeline.values(stage)
            if stage.name in self._refused:
                continue
            for path in self.pipeline.given(stage):
                if not os.path.exists(path):
                    what = "a link to nothing" if os.path.islink(path) else "no such file or folder"
                    who = f"params name it for stage {stage.name}"
                    who = who if path in stage.named else f"stage {stage.name} of {DVC_YAML} reads it"
                    raise ProjectError(f"{path}: {what}, but {who}")
        now = state(self.pipeline)
        if was_exact(now):
            return
        if found := drift(self.pipeline):
            raise ProjectError(f"{DVC_YAML}: {found[0]}: run `snakedvc deps`")
        self._exact = now

    def _concrete(self, name: str, wildcards: Any) -> Stage:
        item = "-".join(dict(wildcards)[axis] for axis in self.pipeline.axes(name))
        return self.pipeline.stage(f"{name}@{item}" if item else name)

    def jobs(self) -> Iterator[Job]:
        """How the jobs of each stage template are run."""
        for name in dict.fromkeys(stage.name for stage in self.pipeline.stages.values()):  # a matrix may be empty
            asked = _OPTIONS | dict(self._needs(name) if self._needs else {})
            own = {option: asked.pop(option) for option in _OPTIONS}
            axes = self.pipeline.axes(name)
            addr = f"{name}@{'-'.join(f'{{{axis}}}' for axis in axes)}" if axes else name
            words = ", ".join(f"{axis} {{wildcards.{axis}}}" for axis in axes)
            folder = f"logs/{name}/{addr}"
            yield Job(
                name=name,
                log=f"{folder}/output.log",
                benchmark=f"{folder}/benchmark.tsv",
                message=f"{name}: {words}" if words else name,
                resources=asked,
                **own,
            )

    def outputs(self, name: str) -> list[str]:
        """Output patterns: `${item.x}` becomes `{x}`; a path without suffix is a folder."""
        return [self._output(path) for path in self.pipeline.out_patterns(name)]

    def _output(self, path: str) -> str:
        flagged = path if Path(path).suffix else directory(path)
        return report(flagged, **self._reported[path]) if path in self._reported else flagged

    def all_outputs(self, name: str) -> list[str]:
        """Every configured output of stage `name`."""
        return [out for stage in self.pipeline.matching(name) for out in stage.outs]

    def outputs_under(self, folder: str) -> Callable[[Any], list[str]]:
        """Input function: every configured output in `folder`, except those of refused stages.

        Why they are refused is said when somebody asks for all the others, and not to one who asks for one file.
        """

        def outputs(wildcards: Any) -> list[str]:
            while self._untold:
                print(f"left out: {self._untold.pop(0)}", file=sys.stderr)
            stages = [s for s in self.pipeline.stages.values() if s.name not in self._refused]
            return [o for s in stages for o in s.outs if o.startswith(folder.rstrip("/") + "/")]

        return outputs

    def inputs(self, name: str) -> Callable[[Any], list[str]]:
        """Function of the wildcards: the concrete data inputs.  Code is not among them, because `sig` covers it.

        Snakemake asks for a job's inputs before it decides whether the job runs.  So the bridge decides here.
        """

        def concrete_inputs(wildcards: Any) -> list[str]:
            stage = self._concrete(name, wildcards)
            if name in self._refused:
                sys.exit(f"error: {self._refused[name]}")
            return self._plan.inputs(stage) if self._plan else self.pipeline.inputs(stage)

        return concrete_inputs

    def addr(self, name: str) -> Callable[[Any], str]:
        """Function of the wildcards: the stage's address in dvc.yaml."""
        return lambda wildcards: self._concrete(name, wildcards).addr

    def sig(self, name: str) -> Callable[[Any], str]:
        """Function of the wildcards: hash of the command, the params' values, the outputs' paths, code and given data.

        Snakemake compares it with that of the last run.  So it sees a changed param, and an edit that kept the mtime.
        """

        def signature(wildcards: Any) -> str:
            stage = self._concrete(name, wildcards)
            files = {path: _hash(path) for path in [*stage.code, *self.pipeline.given(stage)]}
            parts = [stage.cmd, self.pipeline.values(stage), files, stage.outs]
            return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

        return signature

    def constraints(self) -> dict[str, str]:
        """Wildcards match the configured values and nothing else."""
        values: dict[str, set[str]] = {}
        for name in self.pipeline.templates:
            for axis, named in self.pipeline.axes(name).items():
                values.setdefault(axis, set()).update(named)
        # Longest first, so that "low2high_mid" is not matched as "low2high".
        return {a: "|".join(map(re.escape, sorted(v, key=lambda s: (-len(s), s)))) for a, v in values.items()}


def open_stages(
    workflow: Any,
    needs: Needs | None = None,
    refused: Mapping[str, str] | None = None,
    told: Told | None = None,
    reported: Mapping[str, Mapping[str, Any]] | None = None,
    landing: Path | None = None,
) -> Stages:
    """The stages for the Snakefile that `workflow` reads.  A mistake in the project ends Snakemake with one line.

    Stages run with the interpreter that runs Snakemake, even if its environment is not activated.
    """
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    try:
        # The process of a single job plans nothing.
        stages = Stages(workflow if workflow.is_main_process else None, needs, refused, told, reported, landing)
        if workflow.is_main_process:
            stages.check()
            atexit.register(stages.say_what_is_there)
            if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's script started it in the background
                signal.signal(signal.SIGINT, signal.default_int_handler)
    except ProjectError as e:
        sys.exit(f"error: {e}")
    return stages
