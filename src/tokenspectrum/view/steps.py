"""Which steps can be shown: every complete (run, seed, step) under the artifacts, and those of runs that still train.

A published folder counts with its manifest alone.  A run that trains writes its files into `outputs` below its
checkpoints; each file appears whole, the table `attention` last.  There, a step counts when it holds every table of the
step before it, or when a later step has begun.  Knows paths, not what is in the tables.
"""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.tokenlog.reader import read_manifest
from tokenspectrum.view import evaluated
from tokenspectrum.view.columns import PARTS
from tokenspectrum.view.marks import Mark, mark

Key = tuple[str, int, int]
_HIVE = re.compile(r"^(\w+)/run=([^/]+)/seed=(\d+)/(?:step=(\d+)/)?[^/]+\.parquet$")
# Written now and then only: a step without it may yet be complete.
_SOMETIMES = frozenset({"attention_rows"})
# Tables with a step that are shown.  Others, such as the shards of `drawn`, may lie in several folders.
_SHOWN = frozenset({"responses", "attention_rows", "prompt_tokens", *PARTS, *evaluated.TABLES})
_DEPTHS = ("", "*/", "*/*/", "*/*/*/", "*/*/*/*/")
_manifests: dict[Path, tuple[Mark, dict[str, Any]]] = {}


@dataclass
class Step:
    """A complete step: its Parquet files by table, and whether its run still trains."""

    run: str
    seed: int
    step: int
    files: dict[str, list[Path]] = field(default_factory=dict)
    live: bool = False

    @property
    def key(self) -> Key:
        return self.run, self.seed, self.step

    @property
    def has_responses(self) -> bool:
        return "responses" in self.files or self.files.keys() >= evaluated.TABLES

    @property
    def has_tokens(self) -> bool:
        return "tokens" in self.files or "evaluated" in self.files


@dataclass
class Found:
    """Steps by key; files of tables without a step (prompts, vocab); policy folders; a line for each damaged folder."""

    steps: dict[Key, Step] = field(default_factory=dict)
    plain: dict[str, list[Path]] = field(default_factory=dict)
    policies: list[Path] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def find_steps(artifacts: Path, checkpoints: Path | None = None) -> Found:
    """Everything complete under `artifacts`, then steps of runs that train under `checkpoints` and have no result yet.

    A folder whose manifest is missing is left out in silence (its stage runs or never ran); one whose manifest or files
    are damaged becomes a line of `notices`.
    """
    found = Found()
    for path in sorted(path for depth in _DEPTHS for path in artifacts.glob(f"{depth}manifest.json")):
        if any(part.startswith(".") for part in path.relative_to(artifacts).parts):
            continue  # a copy that a training was killed at
        try:
            files = _manifest(path)["files"]
        except UserError as e:
            found.notices.append(str(e))
            continue
        for name in sorted(files):
            _enter(found, path.parent, name, live=False)
    found.policies = sorted(path.parent for path in artifacts.glob("policy/*/tokenizer.json"))
    if checkpoints is not None:
        # What a training that was given up has left behind is no part of the run that was made after it.
        ended = {key[:2] for key, step in found.steps.items() if step.has_responses}
        for root in _live_roots(checkpoints, artifacts.name):
            _enter_live(found, root, ended)
    return found


def _manifest(path: Path) -> dict[str, Any]:
    """The manifest, read again only when its file changed: a page asks every few seconds."""
    now = mark(path)
    if path not in _manifests or _manifests[path][0] != now:
        _manifests[path] = now, read_manifest(path.parent)
    return _manifests[path][1]


def _enter(found: Found, root: Path, name: str, *, live: bool) -> None:
    if (match := _HIVE.match(name)) is None:
        if name.endswith(".parquet"):
            table = "vocab" if Path(name).stem == "vocab" else "prompts"
            found.plain.setdefault(table, []).append(root / name)
        return
    table, run, seed, step = match.groups()
    if step is None or table not in _SHOWN:
        return
    if table in evaluated.TABLES:
        run = evaluated.shown_run(run)
    key = (run, int(seed), int(step))
    entry = found.steps.setdefault(key, Step(*key, live=live))
    if live and not entry.live:  # so far it has what another stage made of the training before this one
        entry.files, entry.live = {}, True
    paths = entry.files.setdefault(table, [])
    if paths and table != "weights" and paths[0].parent != (root / name).parent:
        found.notices.append(f"{root / name}: run {run} seed {seed} step {step} is in {paths[0].parent} too; left out")
        return
    paths.append(root / name)


def _live_roots(checkpoints: Path, preset: str) -> Iterator[Path]:
    """outputs/tokenlog folders of runs of this preset, the newest of each stage last so that it wins."""
    roots = [path for depth in _DEPTHS for path in checkpoints.glob(f"{depth}outputs/tokenlog")]
    by_stage: dict[Path, Path] = {}
    for root in sorted(roots, key=lambda path: mark(path)[1]):  # one may go meanwhile
        by_stage[root.parents[2]] = root
    for root in by_stage.values():
        if _preset(root) in (preset, None):
            yield root


def _preset(root: Path) -> str | None:
    from tokenspectrum.tokenlog.reader import read_file

    for path in root.glob("runs/run=*/seed=*/*.parquet"):
        try:
            return read_file(path, columns=["preset"])["preset"][0].as_py()
        except (UserError, IndexError):
            return None
    return None


def _enter_live(found: Found, root: Path, ended: Set[tuple[str, int]]) -> None:
    by_run: dict[tuple[str, int], dict[int, list[str]]] = {}
    for path in sorted(root.glob("*/run=*/seed=*/step=*/*.parquet")):
        name = path.relative_to(root).as_posix()
        if path.name.startswith(".") or (match := _HIVE.match(name)) is None:
            continue
        _, run, seed, step = match.groups()
        by_run.setdefault((run, int(seed)), {}).setdefault(int(step), []).append(name)
    for (run, seed), steps in by_run.items():
        if (run, seed) in ended:
            continue
        for step in complete_steps({s: {name.split("/")[0] for name in names} for s, names in steps.items()}):
            for name in steps[step]:
                _enter(found, root, name, live=True)
        if half := sorted(set(steps) - {key[2] for key in found.steps if key[:2] == (run, seed)}):
            found.notices.append(f"run {run} seed {seed}: step {half[0]} is being written; it shows when it is whole")


def complete_steps(tables: dict[int, set[str]]) -> list[int]:
    """The steps of a training run that are whole, from the tables that each has so far.

    All but the last are: a trainer begins a step when the one before it is written.  The last is when it has every
    table of the one before it; a first step alone is not known to be whole.
    """
    order = sorted(tables)
    if not order:
        return []
    whole = order[:-1]
    if whole and tables[order[-1]] >= tables[whole[-1]] - _SOMETIMES:
        whole.append(order[-1])
    return whole
