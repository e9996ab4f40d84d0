"""Run the benchmarks one after the other, then make the table: `make benchmarks`.

    python -m benchmarks.table.run [--only NAME ...] [--list]

A benchmark that fails leaves its CSV as it was; the others run all the same, and the exit status is 1.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.raw import ROOT, child_cpu_seconds
from benchmarks.table.__main__ import HERE, make
from benchmarks.table.row import Script
from benchmarks.table.rows import all_rows, all_scripts


def main(argv: list[str] | None = None) -> int:
    scripts = {script.name: script for script in all_scripts()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(scripts), default=list(scripts), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and leave")
    args = parser.parse_args(argv)
    if args.list:
        print("\n".join(f"{script.name:20} python {' '.join(script.command)}" for script in scripts.values()))
        return 0
    failed = [name for name in args.only if not run(scripts[name])]
    make(all_rows(), HERE)
    if failed:
        print(f"failed: {', '.join(failed)}: their rows are of an earlier run or empty", file=sys.stderr)
    return bool(failed)


def run(script: Script) -> bool:
    """Make what the script needs, run it on one thread, and say what it took; False where either failed."""
    print(f"benchmark {script.name}", flush=True)
    missing = [need for need in script.needs if not (ROOT / need).exists()]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if (
        missing
        and subprocess.run(
            ["snakemake", "--profile", "local", *missing], cwd=ROOT, env=os.environ | {"PATH": path}, check=False
        ).returncode
    ):
        print(f"benchmark {script.name}: {', '.join(missing)} could not be made (see above)", file=sys.stderr)
        return False
    try:
        seconds = child_cpu_seconds([sys.executable, *script.command], {"OMP_NUM_THREADS": "1", "PATH": path})
    except RuntimeError as e:
        print(f"benchmark {script.name}: {e}", file=sys.stderr)
        return False
    print(f"benchmark {script.name}: {seconds:.0f} CPU-seconds", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
