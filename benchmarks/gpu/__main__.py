"""One part of benchmarks/gpu.sh on the GPU, or small on the CPU: `python -m benchmarks.gpu check`, `scoring`, `train`.

Writes gpu.csv: a line a figure, with the device.  Lines of other parts and devices stay.
"""

import argparse
import importlib
from pathlib import Path

import torch

from benchmarks.entropy.measure import device_name
from benchmarks.raw import save

PARTS = ("check", "scoring", "train")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--csv", type=Path, default=Path(__file__).parents[1] / "gpu.csv")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for row in importlib.import_module(f"benchmarks.gpu.{args.part}").measure(device):
        print(args.part, *row.values(), sep="  ", flush=True)
        rows.append({"part": args.part} | row)
    save(args.csv, rows, device_name(device), by=["part"])


if __name__ == "__main__":
    main()
