"""Benchmark of the entropy room: `python -m benchmarks.entropy run`, `plot`, `tune`.

`run` measures speed and memory of every peer on the device at hand (a GPU if there is one, else one CPU thread),
in one process and in turns, and writes one CSV row a peer, shape and length, the device named.  Rows of other
devices are kept.  Times are wall time on a GPU and, on a CPU, the time that the one thread was given.
"""

import argparse
import csv
from pathlib import Path

import torch

from benchmarks.entropy import measure, peers, tune

HERE = Path(__file__).parent
CSV = HERE / "entropy.csv"
FIELDS = (
    "device", "torch", "part", "shape", "length", "dtype", "peer", "median_ms", "least_ms", "peak_mib", "floor_ms",
)  # fmt: skip
LENGTHS = {
    ("cpu", "tiny"): (512, 1024, 2048, 4096),
    ("cpu", "qwen3-8b"): (512, 1024, 2048),
    ("cuda", "tiny"): (512, 2048, 8192),
    ("cuda", "qwen3-8b"): (512, 1024, 2048, 4096, 8192, 16384, 32768),
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.entropy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure and write the CSV")
    run.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    run.add_argument("--shapes", nargs="+", choices=tuple(peers.SHAPES), default=list(peers.SHAPES))
    run.add_argument("--lengths", nargs="+", type=int, help="default: by device and shape")
    run.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    run.add_argument("--seconds", type=float, default=2.0, help="time spent on each peer's repeats")
    run.add_argument("--csv", type=Path, default=CSV)
    drawing = commands.add_parser("plot", help="draw the CSV as log-log plots")
    drawing.add_argument("--csv", type=Path, default=CSV)
    drawing.add_argument("--out", type=Path, default=HERE / "entropy.png")
    tuning = commands.add_parser("tune", help="time primitives and tile sizes (CPU) or the kernels' tile shapes (GPU)")
    tuning.add_argument("--length", type=int, default=8192 if torch.cuda.is_available() else 2048)
    tuning.add_argument("--csv", type=Path, default=HERE / f"tune-{'gpu' if torch.cuda.is_available() else 'cpu'}.csv")
    tuning.add_argument("--seconds", type=float, default=3600.0, help="a GPU's tiles that fit into it are tried")
    args = parser.parse_args(argv)
    if args.command == "plot":
        from benchmarks.entropy.plot import plot  # of matplotlib, which a machine with a GPU may lack

        plot(args.csv, args.out)
    elif args.command == "tune":
        tune.tune(args.length, args.csv, args.seconds)
    else:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        write(args.csv, measure_all(args))


def measure_all(args: argparse.Namespace) -> list[dict[str, object]]:
    """One row a part, shape, length and peer."""
    device = args.device
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    flops = {shape: _matmul_rate(device, dtype, peers.SHAPES[shape]) for shape in args.shapes}
    exps = measure.exp_rate(device)
    rows = []
    for shape in args.shapes:
        print(f"{shape}: {flops[shape] / 1e9:.0f} GFLOP/s, {exps / 1e9:.2f} G exp2/s", flush=True)
        for part in args.parts:
            for length in args.lengths or LENGTHS[device, shape]:
                if part != "attention" and device == "cpu" and shape == "qwen3-8b":
                    continue  # eight billion parameters are no CPU's work
                calls = PARTS[part](peers.SHAPES[shape], length, dtype, device)
                floor = _floor(part, peers.SHAPES[shape], length, flops[shape], exps)
                for peer, result in measure.measure_together(calls, device, args.seconds).items():
                    row = {
                        "device": measure.device_name(device), "torch": torch.__version__, "part": part, "shape": shape,
                        "length": length, "dtype": str(dtype).removeprefix("torch."), "peer": peer,
                        "floor_ms": f"{1e3 * floor:.4g}" if floor else "",
                    }  # fmt: skip
                    if isinstance(result, str):
                        row |= {"median_ms": result, "least_ms": result, "peak_mib": result}
                    else:
                        row |= {
                            "median_ms": f"{1e3 * result.median_s:.4g}", "least_ms": f"{1e3 * result.least_s:.4g}",
                            "peak_mib": f"{result.peak_mib:.4g}",
                        }  # fmt: skip
                    rows.append(row)
                    print(*row.values(), sep="  ", flush=True)
                del calls
    return rows


PARTS = {
    "attention": peers.attention_peers,
    "predictive": peers.predictive_peers,
    "forward": peers.forward_peers,
}


def _matmul_rate(device: str, dtype: torch.dtype, shape: peers.Shape) -> float:
    """On a CPU the product of one tile of ours; on a GPU the best that the device does."""
    size = (128 * shape.heads // shape.key_heads, 1024, shape.dim) if device == "cpu" else (8192, 8192, 8192)
    return measure.matmul_rate(device, dtype, *size)


def _floor(part: str, shape: peers.Shape, length: int, flops: float, exps: float) -> float | None:
    """Least seconds: products and exponentials of the causal half, each once, at the device's measured rates."""
    if part == "attention":
        pairs = shape.heads * length * (length + 1) / 2
        return 2 * shape.dim * pairs / flops + pairs / exps
    if part == "predictive":
        return length * shape.vocabulary * (2 * shape.hidden / flops + 1 / exps)
    return None


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """Replace what the CSV holds of the same device, part, shape and length; keep the rest."""

    def key(row: dict[str, object]) -> tuple[str, ...]:
        return tuple(str(row[name]) for name in ("device", "part", "shape", "length"))

    old: list[dict[str, object]] = []
    if path.exists():
        with path.open() as file:
            old = [dict(row) for row in csv.DictReader(file)]
    fresh = {key(row) for row in rows}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([row for row in old if key(row) not in fresh] + rows)


if __name__ == "__main__":
    main()
