"""A stage's frozen copy: the code that dvc.yaml lists for it and the params that it lists, and nothing else.

 First on PYTHONPATH the copy hides the working tree's package, so an undeclared import fails instead of passing
unseen, and a section that is not listed cannot be read.  Edits made while the stage runs do not reach it.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from snakedvc.dvcfiles.digest import digest
from snakedvc.dvcfiles.pipeline import CODE_ROOT, DVC_YAML, Stage
from snakedvc.errors import ProjectError

FROZEN = Path(".dvc/tmp/frozen")
SYSTEMS = "systems"


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"rules.full": x} as {"rules": {"full": x}}."""
    tree: dict[str, Any] = {}
    for dotted, value in values.items():
        node = tree
        *parents, last = dotted.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def _gone(stage: Stage, path: str) -> ProjectError:
    return ProjectError(f"{DVC_YAML}: stage {stage.name} lists {path}, which is not there: run `spectrum deps`")


def code_entries(stage: Stage, root: Path = Path()) -> list[dict[str, Any]]:
    """Lock entries of the stage's code deps as they are below `root`; a listed file that is gone is a ProjectError."""
    entries = []
    for path in stage.code:
        try:
            entries.append(digest(root / path).entry(path))
        except FileNotFoundError:
            raise _gone(stage, path) from None
    return entries


@contextmanager
def frozen_copy(stage: Stage, values: Mapping[str, Any], systems: Any) -> Iterator[Path]:
    """A private folder with `src/` and `params.yaml`, deleted at the end; in the project, so that all nodes see it."""
    root = FROZEN / stage.addr
    shutil.rmtree(root, ignore_errors=True)  # of a killed run; this one holds the stage's lock
    try:
        for path in stage.code:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(path, root / path)
            except FileNotFoundError:
                raise _gone(stage, path) from None
        params = nested(values) | ({} if systems is None else {SYSTEMS: systems})
        (root / CODE_ROOT).mkdir(parents=True, exist_ok=True)
        (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True))
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
