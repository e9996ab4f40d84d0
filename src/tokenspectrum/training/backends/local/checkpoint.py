"""Checkpoints that are whole or not there: tensors in safetensors, the rest in JSON, a sha256 of each, one rename.

Knows models and optimisers as named tensors, and `state` as JSON.  Knows nothing of what is trained; reads no pickle.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from tokenspectrum.tokenlog.writer import MANIFEST, sha256, write_json

KEEP = 2  # the newest, and one before it should the newest turn out damaged
_STATE = "state.json"


class DamagedError(Exception):
    """A checkpoint that is of no use; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint: `state` is JSON, `tensors` maps a file's stem ("model") to its named tensors."""

    step: int
    state: Mapping[str, Any]
    tensors: Mapping[str, Mapping[str, torch.Tensor]]


def save_checkpoint(root: Path, checkpoint: Checkpoint) -> Path:
    """Write `root/step=NNNNN` by a temporary folder, fsyncs and a rename; keep only the last two."""
    root.mkdir(parents=True, exist_ok=True)
    target = _folder(root, checkpoint.step)
    temporary = root / f".{target.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    for name, tensors in checkpoint.tensors.items():
        path = temporary / f"{name}.safetensors"
        # Through bytes: the library's own writer hides a full disk behind an error of its own.
        path.write_bytes(save({key: value.detach().cpu().contiguous() for key, value in tensors.items()}))
        _fsync(path)
    write_json(temporary / _STATE, {"step": checkpoint.step, **checkpoint.state})
    write_json(temporary / MANIFEST, {path.name: sha256(path) for path in sorted(temporary.iterdir())})
    # Only a checkpoint that was found damaged, or is being written again, can be in the way.
    shutil.rmtree(target, ignore_errors=True)
    os.replace(temporary, target)
    _fsync(root)
    for old in checkpoints(root)[KEEP:]:
        shutil.rmtree(old)
    return target


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint after checking every file's sha256; raises DamagedError."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        for name, digest in manifest.items():
            if sha256(path / name) != digest:
                raise DamagedError(f"{path / name}: damaged (its sha256 is not the one that was written)")
        state = json.loads((path / _STATE).read_text())
        stems = sorted(Path(name).stem for name in manifest if name.endswith(".safetensors"))
        tensors = {stem: load_file(path / f"{stem}.safetensors") for stem in stems}
        return Checkpoint(state.pop("step"), state, tensors)
    except FileNotFoundError as e:
        raise DamagedError(f"{e.filename}: missing") from None
    except (ValueError, KeyError, AttributeError, SafetensorError) as e:
        raise DamagedError(f"{path}: damaged ({e})") from None


def checkpoints(root: Path) -> list[Path]:
    """Folders of the checkpoints under `root`, newest first."""
    return sorted(root.glob("step=*"), key=lambda path: int(path.name.removeprefix("step=")), reverse=True)


def model_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters, tied ones once, and buffers that belong to the model's state."""
    parameters = dict(model.named_parameters())
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return parameters | {name: value for name, value in model.state_dict().items() if name not in tied}


def optimizer_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """State of every parameter the optimiser has stepped, under "<parameter>/<entry>"."""
    return {
        f"{name}/{entry}": value
        for name, parameter in model.named_parameters()
        for entry, value in optimizer.state.get(parameter, {}).items()
    }


@torch.no_grad()
def restore(model: torch.nn.Module, optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's tensors back, bit for bit; raises DamagedError where names or shapes are not this policy's."""
    saved, own = checkpoint.tensors["model"], model_tensors(model)
    if saved.keys() != own.keys():
        raise DamagedError(f"checkpoint of step {checkpoint.step}: its tensors are not this policy's")
    for name, value in own.items():
        if saved[name].shape != value.shape:
            raise DamagedError(f"checkpoint of step {checkpoint.step}: {name} has shape {tuple(saved[name].shape)}")
    for name, value in own.items():
        value.copy_(saved[name])
    parameters = dict(model.named_parameters())
    for key, value in checkpoint.tensors["optimizer"].items():
        name, _, entry = key.rpartition("/")
        optimizer.state[parameters[name]][entry] = value.to(
            value.device if entry == "step" else parameters[name].device
        )


def _folder(root: Path, step: int) -> Path:
    return root / f"step={step:05d}"


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
