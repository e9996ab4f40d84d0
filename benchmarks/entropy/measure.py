"""Time and peak memory of a call, and the device's own rates: one set-up for every peer."""

import ctypes
import gc
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Measured:
    """Seconds of the repeats (median and least) and the peak of memory beyond what was held before, in MiB."""

    median_s: float
    least_s: float
    peak_mib: float


def device_name(device: str) -> str:
    """The device by its maker's name, so that a row of the CSV can be judged on its own."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {torch.get_num_threads()} thread"


def measure_together(calls: dict[str, Callable[[], object]], device: str, seconds: float) -> dict[str, Measured | str]:
    """Measure several calls in turns, round by round, so that a busy moment of the machine hits all of them.

    Repeats until `seconds` are spent a call, at least three times. A call that runs out of memory is named "oom", and
    one that fails otherwise by its error: a peer that does not fit the device must not cost the other figures.
    """
    peaks: dict[str, float] = {}
    failed: dict[str, Measured | str] = {}
    for name, call in calls.items():
        try:
            call()  # warm-up: libraries load their code
            peaks[name] = peak_mib(call, device)
        except (torch.OutOfMemoryError, MemoryError):
            failed[name] = "oom"
        except (RuntimeError, ValueError, TypeError, AttributeError, ImportError) as error:
            failed[name] = type(error).__name__
    times: dict[str, list[float]] = {name: [] for name in peaks}
    while any(len(t) < 3 or sum(t) < seconds for t in times.values()) and all(len(t) < 200 for t in times.values()):
        for name, spent in times.items():
            if len(spent) < 3 or sum(spent) < seconds:
                spent.append(_time(calls[name], device))
    done = {name: Measured(statistics.median(t), min(t), peaks[name]) for name, t in times.items()}
    return {**done, **failed}


def peak_mib(call: Callable[[], object], device: str) -> float:
    """Peak of memory during a call above its start, in MiB: the allocator's on a GPU, the process's on a CPU."""
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = _status_kib("VmRSS")
    call()
    return (_status_kib("VmHWM") - before) / 2**10


def matmul_rate(device: str, dtype: torch.dtype, rows: int, columns: int, depth: int) -> float:
    """FLOP/s of a matrix product of this shape, the best of a second's repeats."""
    a = torch.randn(rows, depth, device=device).to(dtype)
    b = torch.randn(depth, columns, device=device).to(dtype)
    out = torch.empty(rows, columns, device=device, dtype=dtype)
    return 2 * rows * columns * depth / _best(lambda: torch.mm(a, b, out=out), device)


def exp_rate(device: str) -> float:
    """exp2 a second, in place on a tile that stays in cache on a CPU, and on a large one on a GPU."""
    x = torch.zeros(2**18 if device == "cpu" else 2**28, device=device)
    return x.numel() / _best(lambda: x.zero_().exp2_(), device)


def _best(call: Callable[[], object], device: str) -> float:
    call()
    end = time.perf_counter() + 1.0
    best = float("inf")
    while time.perf_counter() < end:
        best = min(best, _time(call, device))
    return best


def _time(call: Callable[[], object], device: str) -> float:
    """Seconds of a call: wall time on a GPU; on a CPU, where all runs in one thread, the time that thread was given."""
    if device == "cuda":
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    start = time.process_time()
    call()
    return time.process_time() - start


def _status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
