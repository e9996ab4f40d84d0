"""Times what the design hangs on: primitives and tile sizes on a CPU, tile shapes and loop orders on a GPU.

The winners go by hand into `tokenspectrum/entropy/chunked.py` and `fused.py`: a constant there repeats bit for bit, a
run-time tuner would not.  Prediction and measurement of each design are kept in LOG.md.
"""

import csv
import itertools
import time
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch

from benchmarks.entropy.measure import device_name, measure_together
from benchmarks.entropy.peers import SHAPES
from tokenspectrum.entropy import attention_entropy, chunked


def tune(length: int, path: Path, seconds: float) -> None:
    """Time the device's alternatives and write one CSV row each; on a GPU as many as `seconds` on the clock allow."""
    if torch.cuda.is_available():
        tune_kernels(length, path, seconds)
    else:
        torch.set_num_threads(1)
        tune_chunks(length, path)


def tune_chunks(length: int, path: Path) -> None:
    """Nanoseconds an element of the primitives, and milliseconds of the torch backend by tile and rows."""
    x = torch.rand(64, 2048) + 1e-3
    out = torch.empty_like(x)
    e, weight, mean = torch.rand(64, 4, 2048), torch.rand(64, 1, 4), torch.zeros(64, 1, 2048)
    primitives = {
        "exp": lambda: torch.exp(x, out=out),
        "exp2": lambda: torch.exp2(x, out=out),
        "log": lambda: torch.log(x, out=out),
        "softmax": lambda: torch.softmax(x, -1, out=out),
        "amax": lambda: x.amax(-1),
        "sum": lambda: x.sum(-1),
        "mul": lambda: torch.mul(x, x, out=out),
        "add heads, product a row": lambda: mean.baddbmm_(weight, e),
        "add heads, pass a head": lambda: [mean[:, 0].addcmul_(e[:, h], weight[:, :, h]) for h in range(4)],
    }
    rows: list[list[object]] = []
    for name, result in measure_together(primitives, "cpu", 0.5).items():
        elements = e.numel() if name.startswith("add heads") else x.numel()
        rows.append(["primitive", name, "", "", f"{1e9 * result.least_s / elements:.3g} ns"])
    for name, shape in SHAPES.items():
        q = torch.randn(length, shape.heads, shape.dim)
        k = torch.randn(length, shape.key_heads, shape.dim)
        trials = {
            (rows_, tile): lambda r=rows_, t=tile, q=q, k=k: _with_tile(r, t, q, k)
            for rows_, tile in itertools.product((32, 64, 96, 128, 256), (2**17, 2**18, 2**19, 2**20))
        }
        for (rows_, tile), result in measure_together(trials, "cpu", 0.5).items():
            rows.append([f"torch backend, {name} shapes", length, rows_, tile, f"{1e3 * result.least_s:.4g} ms"])
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["device", "what", "case", "rows", "tile", "least"])
        writer.writerows([device_name("cpu"), *row] for row in rows)


def _with_tile(rows: int, tile: int, q: torch.Tensor, k: torch.Tensor) -> None:
    chunked.ROWS_CPU, chunked.TILE_CPU = rows, tile
    attention_entropy(q, k, backend="torch")


def tune_kernels(length: int, path: Path, seconds: float) -> None:
    """One row a kernel and tile, fastest first within a kernel; Qwen3-8B's shapes in bfloat16.

    Each kernel has its share of `seconds`.  The tile that is in use comes first, then those most like it.
    """
    from tokenspectrum.entropy import fused
    from tokenspectrum.entropy.inputs import check_options, make_problem

    q = torch.randn(length, 32, 128, device="cuda", dtype=torch.bfloat16)
    k = torch.randn(length, 8, 128, device="cuda", dtype=torch.bfloat16)
    problem = make_problem(q, k, None, None, None, None, None)
    options = check_options(("distance", "local_mass"), 32, None, None)
    lse = fused.fused_lse(problem, fused.LSE_TILE)
    given = make_problem(q, k, None, None, None, None, lse)
    hidden = torch.randn(length, 4096, device="cuda", dtype=torch.bfloat16)
    weight = torch.randn(151_936, 4096, device="cuda", dtype=torch.bfloat16) / 64
    targets = torch.randint(0, 151_936, (length,), device="cuda")

    grid = itertools.product((64, 128), (32, 64, 128), (4, 8), (1, 2, 3, 4))
    tiles = [fused.Tile(*choice) for choice in grid]
    nested = [fused.Tile(t.rows, t.columns, t.warps, t.stages, nested=True) for t in tiles]
    wide = [
        fused.Tile(rows, columns, 8, stages, depth=depth)
        for rows, columns, stages, depth in itertools.product((64, 128), (128, 256), (2, 3, 4), (32, 64))
    ]
    kernels = {
        "lse": (tiles, lambda tile: fused.fused_lse(problem, tile)),
        "mean": (tiles + nested, lambda tile: fused.fused_entropy(given, options, mean_tile=tile)),
        "predictive": (wide, lambda tile: fused.fused_predictive(hidden, weight, targets, 1.0, None, tile=tile)),
    }
    used = {"lse": fused.LSE_TILE, "mean": fused.MEAN_TILE, "predictive": fused.PREDICTIVE_TILE}
    started = time.monotonic()
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["device", "kernel", "length", "rows", "columns", "warps", "stages", "nested", "depth", "ms"])
        for n, (kernel, (choices, run)) in enumerate(kernels.items(), 1):
            timed, in_use = [], used[kernel]
            for tile in sorted(choices, key=lambda t, u=in_use: differences(t, u)):
                if time.monotonic() - started > seconds * n / len(kernels):
                    print(kernel, f"time is up after {len(timed)} of {len(choices)} tiles", flush=True)
                    break
                try:
                    result = measure_together({"tile": lambda t=tile, r=run: r(t)}, "cuda", 0.1)["tile"]
                except Exception as error:  # a tile that does not fit the device says so in several ways
                    print(kernel, tile, type(error).__name__, flush=True)
                    continue
                if not isinstance(result, str):
                    timed.append((result.median_s * 1e3, tile))
            for ms, t in sorted(timed, key=lambda pair: pair[0]):
                row = [kernel, length, t.rows, t.columns, t.warps, t.stages, t.nested, t.depth, f"{ms:.4g}"]
                writer.writerow([device_name("cuda"), *row])
            file.flush()
            print(kernel, "best:", min(timed, key=lambda pair: pair[0], default=None), flush=True)


def differences(tile: Any, other: Any) -> int:
    """In how many of their fields two tiles differ."""
    return sum(a != b for a, b in zip(astuple(tile), astuple(other), strict=True))
