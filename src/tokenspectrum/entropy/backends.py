"""Choose the backend: `auto` picks one.  A named backend runs, or an error says why not and which one can."""

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


def interpreted() -> bool:
    """Whether triton's kernels run in its interpreter.  The environment decided this when triton was imported."""
    if os.environ.get("TRITON_INTERPRET") != "1":
        return False
    import triton.language

    return not isinstance(triton.language.sum, triton.JITFunction)


def why_no_triton(device: torch.device) -> str | None:
    """None where the triton backend can run; else one line that says why it cannot, and which backend can."""
    if importlib.util.find_spec("triton") is None:
        return "backend 'triton' cannot run: triton is not installed; pip install triton, or use backend='torch'"
    if device.type == "cpu" and not interpreted():
        return (
            "backend 'triton' cannot run on a CPU: move the tensors to a GPU, use backend='torch', or set "
            "TRITON_INTERPRET=1 before anything imports triton to run the kernels in its (slow) interpreter"
        )
    if device.type not in ("cpu", "cuda"):
        return f"backend 'triton' cannot run on {device.type}: use backend='torch'"
    return None
