"""Resumable checkpoints of a run on verl: its FSDP shards, and which files were logged before.  Whole or not there.

Knows verl's worker group by the operations save, load and checksums, and the workspace.  Knows no step.
"""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.policy.save import strip_provenance
from tokenspectrum.tokenlog.writer import MANIFEST, sha256, write_json
from tokenspectrum.training.backends.local.checkpoint import KEEP, DamagedError, checkpoints
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.workspace import Workspace

_ACTOR, _STATE = "actor", "state.json"
_TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "chat_template*", "vocab*", "merges*", "added_tokens.json")
_log = logging.getLogger(__name__)


def save(workers: Any, job: TrainJob, work: Workspace, identity: str, step: int) -> None:
    """Write `checkpoints/step=NNNNN` by a temporary folder and a rename; keep only the last two."""
    root = job.checkpoints
    target, temporary = root / f"step={step:05d}", root / f".step={step:05d}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / _ACTOR).mkdir(parents=True)
    workers.save_checkpoint(str(temporary / _ACTOR), None, step, None)
    state = {"step": step, "identity": identity, "files": work.files, "ranks": job.systems.verl.world_size}
    write_json(temporary / _STATE, state)
    sums = {f"{_ACTOR}/{name}": digest for name, digest in _checksums(workers, temporary / _ACTOR).items()}
    write_json(temporary / MANIFEST, sums | {_STATE: sha256(temporary / _STATE)})
    for file in temporary.rglob("*"):
        _fsync(file)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(temporary, target)
    _fsync(root)
    for old in checkpoints(root)[KEEP:]:
        shutil.rmtree(old)


def resume(workers: Any, job: TrainJob, work: Workspace, identity: str) -> int:
    """Go back to the newest usable checkpoint; the number of steps done, 0 to start from the base policy.

    A checkpoint that is damaged, lacks a file logged before it, or was made from other inputs or params is named in the
    log and removed, and the one before it is tried.  Raises UserError for one of another number of ranks: its shards
    are of no use here, but a run that asks for that number again can go on.
    """
    for path in checkpoints(job.checkpoints):
        try:
            state = _read(workers, path, job, identity)
            if damaged := work.damaged(state["files"]):
                raise DamagedError(f"{damaged}: damaged or missing")
        except DamagedError as e:
            _log.warning("%s; going back to an earlier checkpoint", e)
            shutil.rmtree(path)
            continue
        workers.load_checkpoint(str(path / _ACTOR))
        work.reset(state["files"])
        _log.info("resuming after step %d from %s", state["step"], path)
        return state["step"]
    work.reset({})
    return 0


def export_policy(workers: Any, base: Path, folder: Path, dtype: str) -> None:
    """The actor's weights as a Hugging Face folder, with the configuration and tokenizer of the policy `base`."""
    temporary = folder.parent / f".{folder.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for pattern in ("config.json", "generation_config.json", *_TOKENIZER_FILES):
        for file in base.glob(pattern):
            shutil.copyfile(file, temporary / file.name)
    config = json.loads((temporary / "config.json").read_text())
    write_json(temporary / "config.json", config | {"dtype": dtype})
    workers.export_policy(str(temporary / "model.safetensors"), dtype)
    strip_provenance(temporary)
    for file in temporary.iterdir():
        file.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def _read(workers: Any, path: Path, job: TrainJob, identity: str) -> dict[str, Any]:
    """State of a checkpoint, after checking every file; raises DamagedError."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        state = json.loads((path / _STATE).read_text())
        if sha256(path / _STATE) != manifest[_STATE]:
            raise DamagedError(f"{path / _STATE}: damaged (its sha256 is not the one that was written)")
        if state["identity"] != identity:
            raise DamagedError(f"{path}: made from other inputs or params")
        if state["ranks"] != job.systems.verl.world_size:
            raise UserError(
                f"{path} is of {state['ranks']} ranks, but systems.verl has {job.systems.verl.world_size}: its shards "
                f"fit no other number; ask for {state['ranks']} again, or remove it to start anew"
            )
    except FileNotFoundError as e:
        raise DamagedError(f"{e.filename}: missing") from None
    except (ValueError, KeyError, TypeError) as e:
        raise DamagedError(f"{path}: damaged ({e})") from None
    found = _checksums(workers, path / _ACTOR)
    for name, digest in manifest.items():
        if name != _STATE and found.get(name.removeprefix(f"{_ACTOR}/")) != digest:
            raise DamagedError(f"{path / name}: damaged or missing")
    return state


def _checksums(workers: Any, folder: Path) -> dict[str, str]:
    """sha256 of every file; each rank reads its own shards."""
    return {name: digest for found in workers.checksums(str(folder)) for name, digest in found.items()}


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
