"""The local trainer's state as named tensors in safetensors files: weights, the optimiser's moments, the RNG.

They come back bit for bit.  No pickle is read.  Knows models and optimisers.  Knows no run and no step.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tokenspectrum.policy.save import full_disk_is_an_oserror
from tokenspectrum.training.damaged import DamagedError

# The stem of a file's name ("model") -> its tensors by name.
Tensors = Mapping[str, Mapping[str, torch.Tensor]]
_FILES = ("model", "optimizer", "rng")
_UMASK = os.umask(0o022)  # it can be read only by setting it
os.umask(_UMASK)


def tensors_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """All tensors that a resumed training needs."""
    return {
        "model": model_tensors(model),
        "optimizer": optimizer_tensors(model, optimizer),
        "rng": {"torch": torch.get_rng_state()},
    }


def write_tensors(folder: Path, tensors: Tensors) -> None:
    """One safetensors file each."""
    for name, of_file in tensors.items():
        # From the tensors' own memory: as bytes the optimiser's state would be held three times.
        file = folder / f"{name}.safetensors"
        with full_disk_is_an_oserror(folder):
            save_file({key: value.detach().cpu().contiguous() for key, value in of_file.items()}, file)
        file.chmod(0o666 & ~_UMASK)  # the library leaves its files unreadable for others


def read_tensors(folder: Path) -> Tensors:
    """Read what `write_tensors` wrote.  DamagedError if a file is missing or does not load."""
    try:
        return {name: load_file(folder / f"{name}.safetensors") for name in _FILES}
    except (FileNotFoundError, SafetensorError, ValueError) as e:
        raise DamagedError(f"damaged ({e})") from None


def model_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters (tied ones once) and buffers of the model's state."""
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
def restore(model: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put the tensors back, bit for bit.  If they are another policy's, raise DamagedError and change nothing."""
    saved, own = tensors["model"], model_tensors(model)
    if saved.keys() != own.keys():
        raise DamagedError("its tensors are not this policy's")
    for name, value in own.items():
        if saved[name].shape != value.shape:
            raise DamagedError(f"{name} has shape {tuple(saved[name].shape)}, not this policy's")
    for name, value in own.items():
        value.copy_(saved[name])
    parameters = dict(model.named_parameters())
    for key, value in tensors["optimizer"].items():
        name, _, entry = key.rpartition("/")
        optimizer.state[parameters[name]][entry] = value.to(
            value.device if entry == "step" else parameters[name].device
        )
    torch.set_rng_state(tensors["rng"]["torch"])
