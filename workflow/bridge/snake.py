"""What the Snakefile needs of the pipeline: output patterns, concrete inputs, signatures, and which results do not stand.

    stages = Stages()
    rule train:
        input: stages.inputs("train")
        output: stages.outputs("train")
        params: addr=stages.addr("train"), sig=stages.sig("train")

Knows Snakemake's wildcards and flags; the rules themselves add threads, resources and messages.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

from snakemake.io import directory

from tokenspectrum.errors import UserError
from workflow.bridge.audit import audit
from workflow.bridge.deps import drift
from workflow.bridge.digest import file_md5
from workflow.bridge.pipeline import DVC_YAML, Pipeline, Stage, load_pipeline

@lru_cache(None)
def _code_hash(path: str) -> str:
    return file_md5(Path(path))


class Stages:
    """The pipeline, seen by Snakemake.  A mistake in dvc.yaml, params.yaml or the code deps is a UserError of one line."""

    def __init__(self) -> None:
        self.pipeline: Pipeline = load_pipeline()

    def check_code(self) -> None:
        """UserError if the code deps in dvc.yaml are not the import closures: better now than when the stage runs."""
        if found := drift(self.pipeline):
            raise UserError(f"{DVC_YAML}: {found[0]}: run `spectrum deps`")

    def _concrete(self, name: str, wildcards: Any) -> Stage:
        values = dict(wildcards)
        return self.pipeline.stage("@".join(filter(None, [name, "-".join(values[a] for a in self.pipeline.axes(name))])))

    def outputs(self, name: str) -> list[str]:
        """Output patterns: `${item.x}` becomes `{x}`; a path without suffix is a folder."""
        return [p if Path(p).suffix else directory(p) for p in self.pipeline.out_patterns(name)]

    def all_outputs(self, name: str) -> list[str]:
        """Every configured output of stage `name`."""
        return [out for stage in self.pipeline.matching(name) for out in stage.outs]

    def inputs(self, name: str) -> Callable[[Any], list[str]]:
        """Function of the wildcards: the concrete data inputs.  Code is not among them, `sig` covers it."""
        return lambda wildcards: self.pipeline.inputs(self._concrete(name, wildcards))

    def addr(self, name: str) -> Callable[[Any], str]:
        """Function of the wildcards: the stage's address in dvc.yaml."""
        return lambda wildcards: self._concrete(name, wildcards).addr

    def addr_pattern(self, name: str) -> str:
        """The address as a pattern, for logs and benchmarks: `train@{method}-{seed}`."""
        return "@".join(filter(None, [name, "-".join(f"{{{axis}}}" for axis in self.pipeline.axes(name))]))

    def sig(self, name: str) -> Callable[[Any], str]:
        """Function of the wildcards: hash of the command, the params' values, the code's bytes and the outputs' paths.

        Snakemake compares it with the last run's: it sees a changed param, and code that was edited under an old mtime.
        """

        def signature(wildcards: Any) -> str:
            stage = self._concrete(name, wildcards)
            code = {path: _code_hash(path) for path in stage.code}
            parts = [stage.cmd, self.pipeline.values(stage), code, stage.outs]
            return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

        return signature

    def constraints(self) -> dict[str, str]:
        """Wildcards match the configured values and nothing else."""
        values: dict[str, set[str]] = {}
        for name in self.pipeline.templates:
            for axis, named in self.pipeline.axes(name).items():
                values.setdefault(axis, set()).update(named)
        # The longest first: "low2high_mid" must not be cut off at "low2high".
        return {a: "|".join(map(re.escape, sorted(v, key=lambda s: (-len(s), s)))) for a, v in values.items()}

    def not_standing(self, targets: Collection[str]) -> list[str]:
        """Outputs upstream of `targets` whose record is not of the present params, code and inputs.

        Snakemake's own memory does not see this when something else made the files: `dvc pull`, `dvc checkout`, `dvc repro`.
        """
        wanted = self._upstream_of(targets)
        found = audit(self.pipeline)
        return [stage.outs[0] for stage in wanted if found[stage.addr]]

    def _upstream_of(self, targets: Collection[str]) -> list[Stage]:
        names = set(targets)
        start = [s for s in self.pipeline.stages.values() if s.name in names or not names.isdisjoint(s.outs)]
        pending, seen = start or list(self.pipeline.stages.values()), {}
        while pending:
            stage = pending.pop()
            if stage.addr not in seen:
                seen[stage.addr] = stage
                pending += self.pipeline.upstream(stage)
        return list(seen.values())
