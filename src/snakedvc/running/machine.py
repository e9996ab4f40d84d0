"""What a stage ran on, for its provenance: CPU model, instruction sets, GPUs.  Knows the kernel's files alone.

Two machines of different kinds may round differently: this says where a result comes from.
"""

import json
import os
import platform
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
GPUS = Path("/proc/driver/nvidia/gpus")
# The instruction sets by which numerical libraries choose their kernels.
NAMED = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile")


# A CPU with these can run the kernels that a project pins for all of them.
NEEDED = frozenset({"avx2", "fma"})
# One file for each host that was seen to compute other bytes than are known.
OTHER_BYTES = Path("logs/other_bytes")


def _field(text: str, name: str) -> str:
    found = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in found if key.strip() == name), "")


def cpu() -> tuple[str, tuple[str, ...]]:
    """The CPU's model, and those of the named instruction sets that it has."""
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    flags = set(_field(text, "flags").split())
    return _field(text, "model name") or platform.machine(), tuple(name for name in NAMED if name in flags)


def gpus() -> list[str]:
    """The models of this machine's NVIDIA GPUs, sorted; empty without their driver."""
    return sorted(_field(path.read_text(), "Model") for path in GPUS.glob("*/information"))


def machine() -> dict[str, Any]:
    """All of it, with the host's name."""
    model, sets = cpu()
    return {
        "host": socket.gethostname(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "cpu": model,
        "instruction_sets": list(sets),
        "gpus": gpus(),
    }


def note_bytes(differing: Sequence[str]) -> None:
    """Remember of this host what it computes otherwise than known; nothing if it computes the known bytes."""
    path = OTHER_BYTES / socket.gethostname()
    path.unlink(missing_ok=True)
    if differing:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(list(differing)))


def other_bytes() -> frozenset[str]:
    """The hosts that `note_bytes` remembers."""
    return frozenset(path.name for path in OTHER_BYTES.glob("*"))
