"""Checkpoints of a run, the same for every trainer.  A checkpoint is complete, or it does not exist.

checkpoints/step=NNNNN/ holds three things: actor/, which the backend writes; state.json with the step, the run's
identity, the kind of device, the files that were logged before and what the rule remembers; and manifest.json with the
sha256 of every file.  Knows folders.  Knows nothing of what is in actor/.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tokenspectrum.errors import UserError
from tokenspectrum.portable.device import device_kind
from tokenspectrum.tokenlog.writer import MANIFEST, sha256, write_json
from tokenspectrum.training.backend import Stored
from tokenspectrum.training.damaged import DamagedError
from tokenspectrum.training.workspace import Workspace
from tokenspectrum.weighting.rule import Memory

KEEP = 2  # the newest, and the one before in case the newest is damaged
ACTOR, _STATE = "actor", "state.json"
_log = logging.getLogger(__name__)


class Resumed(NamedTuple):
    """Where a run goes on: the number of steps done, and what a rule that looks back knows of them."""

    step: int
    memory: Memory | None


def save(
    backend: Stored, root: Path, identity: str, files: Mapping[str, str], step: int, memory: Memory | None = None
) -> Path:
    """Write `root/step=NNNNN` with a temporary folder and a rename.  Keep only the last two checkpoints."""
    target, temporary = root / f"step={step:05d}", root / f".step={step:05d}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / ACTOR).mkdir(parents=True)
    backend.save(temporary / ACTOR, step)
    state = {"step": step, "identity": identity, "files": dict(files), "ranks": backend.ranks}
    state["device"] = device_kind()
    if memory is not None:
        state["memory"] = dict(memory)
    write_json(temporary / _STATE, state)
    sums = {f"{ACTOR}/{name}": digest for name, digest in backend.digests(temporary / ACTOR).items()}
    write_json(temporary / MANIFEST, sums | {_STATE: sha256(temporary / _STATE)})
    for path in temporary.rglob("*"):
        _fsync(path)
    # A folder of this name can only be a damaged checkpoint, or one that is written again.
    shutil.rmtree(target, ignore_errors=True)
    os.replace(temporary, target)
    _fsync(root)
    for old in checkpoints(root)[KEEP:]:
        shutil.rmtree(old)
    return target


def resume(backend: Stored, root: Path, identity: str, work: Workspace) -> Resumed:
    """Restore the newest usable checkpoint.  With no steps done, the run starts from the base policy.

    A checkpoint is not usable if it is damaged, lacks a file that was logged before it, or was made from other inputs
    or params.  It is named in the log and removed, and the one before it is tried.  A checkpoint of another number of
    ranks is a UserError and is kept: a run with that number of ranks can still use it.
    """
    for path in checkpoints(root):
        try:
            state = read_state(backend, path, identity)
            if damaged := work.damaged(state["files"]):
                raise DamagedError(f"{damaged}: damaged or missing")
            try:
                backend.resume(path / ACTOR)
            except DamagedError as e:
                raise DamagedError(f"{path}: {e}") from None
        except DamagedError as e:
            _log.warning("%s; going back to an earlier checkpoint", e)
            shutil.rmtree(path)
            continue
        work.reset(state["files"])
        if state["device"] != (here := device_kind()):
            _log.warning(
                "%s was made on %s, and this is %s: the run goes on, but neither makes these bytes alone; remove the "
                "checkpoint to start anew",
                *(path, state["device"], here),
            )
        _log.info("resuming after step %d from %s", state["step"], path)
        return Resumed(state["step"], state.get("memory"))
    work.reset({})
    return Resumed(0, None)


def read_state(backend: Stored, path: Path, identity: str) -> dict[str, Any]:
    """State of a checkpoint, after a check of every file.  Raises DamagedError, and UserError as `resume` does."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        if sha256(path / _STATE) != manifest[_STATE]:
            raise DamagedError(f"{path / _STATE}: damaged (its sha256 is not the one that was written)")
        state = json.loads((path / _STATE).read_text())
        if state["identity"] != identity:
            raise DamagedError(f"{path}: made from other inputs or params")
        if not isinstance(state["device"], str):
            raise TypeError("device: no text")
        if state["ranks"] != backend.ranks:
            raise UserError(
                f"{path} is of {state['ranks']} ranks, but the systems params give {backend.ranks}: its parts fit no "
                f"other number; ask for {state['ranks']} again, or remove it to start anew"
            )
        found = backend.digests(path / ACTOR)
        for name in sorted(manifest.keys() - {_STATE}):
            digest = found.get(name.removeprefix(f"{ACTOR}/"))
            if digest is None:
                raise DamagedError(f"{path / name}: missing")
            if digest != manifest[name]:
                raise DamagedError(f"{path / name}: damaged (its sha256 is not the one that was written)")
    except FileNotFoundError as e:
        raise DamagedError(f"{e.filename}: missing") from None
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise DamagedError(f"{path}: damaged ({e})") from None
    return state


def checkpoints(root: Path) -> list[Path]:
    """Folders of the checkpoints under `root`, newest first."""
    return sorted(root.glob("step=*"), key=lambda path: int(path.name.removeprefix("step=")), reverse=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
