"""Time and memory of the whole of `make laptop`, set-up aside: one row a preset, and one of all.

    git clone . FOLDER && make -C FOLDER setup-laptop
    python benchmarks/laptop_whole.py FOLDER --data data [--out benchmarks/laptop_whole.csv]

FOLDER is a clone whose environment is made and in which nothing has run, so that its cache is empty.

Memory is what all processes of the run hold in RAM, a page shared by two counted once (Linux's PSS), read every two
seconds: a shorter peak can be missed.  The greatest process is named with its stage.  Wall seconds depend on what else
the machine does, CPU-seconds hardly.  Those of a process that lives under two seconds are missed.  The load is that of
the minute before a preset begins.
"""

import argparse
import csv
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).parent))
from machine import cpu_name

ROOT = Path(__file__).resolve().parents[1]
EVERY_S = 2.0
COLUMNS = "preset,wall_seconds,cpu_seconds,load,most_gib,greatest_process_gib,greatest_process,device,revision"


class Sample(NamedTuple):
    """One look at the run: which preset it is at, and what it holds."""

    preset: str
    at: float
    cpu_s: float
    load: float
    held_gib: float
    greatest_gib: float
    greatest: str


def preset_of(folder: Path) -> str:
    """Name in the clone's params.yaml; "?" while it is being written."""
    found = re.search(r"^preset: *(\S+)", (folder / "params.yaml").read_text(), re.MULTILINE)
    return found[1] if found else "?"


def look(folder: Path, make: psutil.Process, seen: dict[int, float]) -> Sample:
    """What `make` and its descendants hold now; `seen` gathers the CPU-seconds of each process by its id."""
    held, greatest, name = 0.0, 0.0, ""
    for process in [make, *make.children(recursive=True)]:
        try:
            gib = process.memory_full_info().pss / 2**30
            times = process.cpu_times()
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue  # it ended meanwhile
        seen[process.pid] = times.user + times.system
        held += gib
        if gib > greatest:
            greatest, name = gib, stage_of(command)
    return Sample(preset_of(folder), time.perf_counter(), sum(seen.values()), os.getloadavg()[0], held, greatest, name)


def stage_of(command: str) -> str:
    """The module a command line runs and what it is given, short enough for a cell."""
    words = command.split()
    return " ".join(words[words.index("-m") + 1 :])[:80] if "-m" in words else Path(words[0]).name if words else ""


def say_peak(now: Sample, start: float, said_gib: float) -> float:
    """Print `now` where it holds clearly more than what was said last.  Returns what is said last then."""
    if now.held_gib <= 1.02 * said_gib:
        return said_gib
    held = f"{now.held_gib:.2f} GiB held, {now.greatest_gib:.2f} of them by {now.greatest}"
    print(f"{now.preset}, {now.at - start:.0f} s: {held}", flush=True)
    return now.held_gib


def rows(samples: list[Sample]) -> list[list[str]]:
    """A row a preset, and one of all."""
    presets = list(dict.fromkeys(sample.preset for sample in samples))
    parts = [(preset, [sample for sample in samples if sample.preset == preset]) for preset in presets]
    # The clone's own preset is seen once, before that of make.
    return [row(name, part) for name, part in [*parts, ("all", samples)] if len(part) > 1]


def row(name: str, part: list[Sample]) -> list[str]:
    """Its cost from the first sample to the last."""
    first, last = part[0], part[-1]
    greatest = max(part, key=lambda sample: sample.greatest_gib)
    figures = [last.at - first.at, last.cpu_s - first.cpu_s, first.load]
    held = [max(sample.held_gib for sample in part), greatest.greatest_gib]
    return [name, *(f"{figure:.1f}" for figure in figures), *(f"{gib:.2f}" for gib in held), greatest.greatest]


def main() -> None:
    """Run `make laptop`, watch it, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/laptop_whole.csv")
    args = parser.parse_args()
    if (args.folder / "artifacts").exists():
        sys.exit(f"{args.folder}/artifacts: something has run in this clone; take a fresh one")
    revision = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=args.folder, text=True).strip()
    samples: list[Sample] = []
    seen: dict[int, float] = {}
    said_gib = 0.0
    command = ["make", "-C", str(args.folder), "laptop", f"DATA={args.data.resolve()}"]
    with psutil.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) as make:
        try:
            while make.poll() is None:
                samples.append(look(args.folder, make, seen))
                said_gib = say_peak(samples[-1], samples[0].at, said_gib)
                time.sleep(EVERY_S)
        except KeyboardInterrupt:
            make.wait()  # Ctrl-C reached it too
    if make.returncode:
        for ended in rows(samples)[:-2]:  # neither the preset that did not end, nor the whole
            print(",".join(ended))
        sys.exit(f"make laptop failed: {make.returncode}; {args.out} stays as it is")
    with args.out.open("w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(COLUMNS.split(","))
        writer.writerows([*figures, cpu_name(), revision] for figures in rows(samples))
    print(args.out.read_text())


if __name__ == "__main__":
    main()
