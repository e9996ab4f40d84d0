"""What a benchmark ran on, as one line for its CSV.  Every figure names its device."""

import os
import platform
from pathlib import Path


def cpu_name() -> str:
    """Model, cores this process may use, and memory, as the kernel reports them."""
    info = Path("/proc/cpuinfo")
    models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = models[0] if models else platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {gib:.0f} GiB"
