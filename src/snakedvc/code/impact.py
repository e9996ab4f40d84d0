"""Find the stages that a change of a file would invalidate.  Knows dvc.yaml alone."""

from pathlib import Path, PurePosixPath

from snakedvc.dvcfiles.pipeline import Pipeline, Stage
from snakedvc.dvcfiles.templates import DVC_YAML, PARAMS_YAML
from snakedvc.errors import ProjectError


def readers(pipeline: Pipeline, file: str) -> list[Stage]:
    """Stages that have `file` as a dep, or a folder that it lies in."""
    parents = {file, *(p.as_posix() for p in PurePosixPath(file).parents)} - {"."}
    return [s for s in pipeline.stages.values() if parents.intersection([*s.deps, *pipeline.inputs(s)])]


def impact(pipeline: Pipeline, file: str) -> tuple[list[Stage], list[Stage]]:
    """The stages that run again if `file` changes, and those below, which run only if their inputs' bytes change."""
    path = Path(file)
    if path.is_absolute():
        try:
            path = path.relative_to(Path.cwd())
        except ValueError:
            raise ProjectError(f"{file}: outside the project") from None
    if path in (PARAMS_YAML, DVC_YAML):
        raise ProjectError(f"{path}: it depends on which entry you change; edit it and see `snakedvc status`")
    if not file.strip():
        raise ProjectError("give the path of a file, from the project's root")
    direct = readers(pipeline, path.as_posix())
    if not direct and not path.exists():
        raise ProjectError(f"{file}: no such file, and no stage reads it")
    hit = {s.addr for s in direct}
    below = []
    for stage in pipeline.topological():
        if stage.addr not in hit and any(up.addr in hit for up in pipeline.upstream(stage)):
            hit.add(stage.addr)
            below.append(stage)
    return direct, below
