"""Make a stage's frozen copy: the code and params that dvc.yaml lists for it, and what the settings keep out of keys.

The copy is first on PYTHONPATH, so it hides the working tree's package.  An import that is not declared fails instead
of passing unseen, and params that are not listed cannot be read.  Edits during the run do not reach the stage.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from snakedvc.dvcfiles.digest import digest, files_under
from snakedvc.dvcfiles.pipeline import Stage
from snakedvc.dvcfiles.record import CODE_ROOT, Entry
from snakedvc.dvcfiles.templates import DVC_YAML
from snakedvc.errors import ProjectError

FROZEN = Path(".dvc/tmp/frozen")


class Quoting(yaml.SafeDumper):
    """Quotes every text, so that no reader takes 1e3 for a number or yes for true."""


Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


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
    return ProjectError(f"{DVC_YAML}: stage {stage.name} lists {path}, which is not there: run `snakedvc deps`")


def code_entries(stage: Stage, root: Path = Path()) -> list[Entry]:
    """Entries of the stage's code deps as they are below `root`.  ProjectError if a listed file is missing."""
    entries = []
    for path in stage.code:
        try:
            entries.append(digest(root / path).entry(path))
        except FileNotFoundError:
            raise _gone(stage, path) from None
    return entries


def _copy(source: Path, target: Path) -> None:
    files = {target / name: path for name, path in files_under(source)} if source.is_dir() else {target: source}
    for to, path in files.items():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)


@contextmanager
def frozen_copy(
    stage: Stage, values: Mapping[str, Any], systems: Mapping[str, Any], beside: Iterable[str] = ()
) -> Iterator[Path]:
    """A private folder with `src/` and `params.yaml`.  It is deleted at the end.

    It lies in the project, so that all nodes see it.  `beside` and `systems` are the code and the sections of params
    that the stage gets although they are in no key.
    """
    root = FROZEN / stage.addr
    shutil.rmtree(root, ignore_errors=True)  # left by a killed run: nobody else uses it, since we hold the stage's lock
    try:
        for path in (*stage.code, *beside):
            try:
                _copy(Path(path), root / path)
            except FileNotFoundError:
                raise _gone(stage, path) from None
        params = nested(values) | dict(systems)
        (root / CODE_ROOT).mkdir(parents=True, exist_ok=True)
        (root / "params.yaml").write_text(yaml.dump(params, Dumper=Quoting, sort_keys=False))
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
