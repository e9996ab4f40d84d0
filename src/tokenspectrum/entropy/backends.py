"""Which backend computes: `auto` picks, a named one either runs or says why not and what would."""

import importlib.util
import os

import torch

BACKENDS = ("reference", "torch", "triton")


def pick_backend(backend: str, device: torch.device) -> str:
    """The backend to use on `device`.

    Raises:
        ValueError: an unknown name.
        RuntimeError: triton was named but cannot run here.
    """
    if backend == "auto":
        return "triton" if device.type == "cuda" and why_no_triton(device) is None else "torch"
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}: auto, reference, torch or triton")
    if backend == "triton" and (reason := why_no_triton(device)) is not None:
        raise RuntimeError(reason)
    return backend


def why_no_triton(device: torch.device) -> str | None:
    """None where the triton backend can run, else one line: why it cannot and what would."""
    if importlib.util.find_spec("triton") is None:
        return "backend 'triton' cannot run: triton is not installed; pip install triton, or use backend='torch'"
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if device.type == "cpu" and not interpreted:
        return (
            "backend 'triton' cannot run on a CPU: move q and k to a GPU, use backend='torch', "
            "or set TRITON_INTERPRET=1 before the start to run the kernels in Triton's (slow) interpreter"
        )
    if device.type not in ("cpu", "cuda"):
        return f"backend 'triton' cannot run on {device.type}: use backend='torch'"
    return None
