"""The CSV of a benchmark: raw measurements, each with its device and the revision that was measured.

Knows how such a file is written and how calls take turns.  Knows no benchmark and no goal: benchmarks/table has those.
"""

import csv
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import cpu_name

ROOT = Path(__file__).resolve().parents[1]


def revision() -> str:
    """The commit that is checked out, with "+" where files differ from it."""
    short = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    changed = subprocess.check_output(["git", "status", "--porcelain", "src", "benchmarks/*.py"], cwd=ROOT, text=True)
    return short + ("+" if changed.strip() else "")


def save(path: Path, rows: Sequence[Mapping[str, Any]], device: str | None = None, by: Sequence[str] = ()) -> None:
    """Write rows with device (default: this CPU) and revision.

    Rows that the file has of other devices stay, and so do those that differ from all new ones in the columns `by`.
    """
    device = device or cpu_name()
    fresh = [dict(row) | {"device": device, "revision": revision()} for row in rows]

    def key(row: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(row.get(name, "")) for name in by)

    replaced = {key(row) for row in fresh}
    kept: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as file:
            kept = [row for row in csv.DictReader(file) if row["device"] != device or key(row) not in replaced]
    columns = list(dict.fromkeys(name for row in [*fresh, *kept] for name in row))
    columns = [name for name in columns if name not in ("device", "revision")] + ["device", "revision"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(kept + fresh)


def in_turns(calls: Mapping[str, Callable[[], Any]], rounds: int, warm_ups: int = 1) -> dict[str, list[float]]:
    """CPU-seconds of this process in each of `rounds` calls, by name.

    The calls take turns, so that a busy moment of the machine hits all of them.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warm_ups + rounds):
        for name, call in calls.items():
            started = time.process_time()
            call()
            if turn >= warm_ups:
                found[name].append(time.process_time() - started)
    return found


def child_cpu_seconds(command: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> float:
    """CPU-seconds, user and system, of a command and all that it started; RuntimeError where it fails."""
    process = subprocess.Popen([str(word) for word in command], cwd=cwd, env=dict(os.environ) | dict(env or {}))
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit {process.returncode}: {' '.join(str(word) for word in command)}")
    return used.ru_utime + used.ru_stime


def median(seconds: Sequence[float]) -> str:
    """The median, as a CSV cell with four digits."""
    return f"{statistics.median(seconds):.4g}"
