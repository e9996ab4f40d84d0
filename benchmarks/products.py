"""Matrix products of a policy's size: by the AVX-512 kernel in the bytes of the Haswell kernel, beside that one itself.

    python benchmarks/products.py [--out benchmarks/products.csv] [--repeats 7]

The matrices are SmolLM2-135M's; tokens are those of a micro-batch.  CPU-seconds of one thread, the two in turns; of the
repeats the least counts, because other work on the machine raises CPU-seconds too.
"""

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))
from machine import cpu_name

import tokenspectrum.portable  # noqa: F401  # before NumPy is loaded

ROOT = Path(__file__).resolve().parents[1]
TOKENS = (96, 100, 200, 600, 1500)
# A linear layer's sizes, into and out of it: gate and up, down, query and output, key and value, part of the head.
LAYERS = ((576, 1536), (1536, 576), (576, 576), (576, 192), (576, 8192))
COLUMNS = ["product", "tokens", "in", "out", "gflops", "haswell_gflops", "times_as_fast", "same_bytes"]


def best(work: Callable[[], object], repeats: int) -> float:
    """The least CPU-seconds of some repeats, after one that does not count."""
    found = []
    for _ in range(repeats + 1):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found[1:])


def main() -> None:
    """Measure each product, write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/products.csv")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    import numpy as np
    import torch

    from tokenspectrum.portable.kernels import install
    from tokenspectrum.portable.products import array

    torch.set_num_threads(1)
    install()
    from tokenspectrum.portable import wide

    if wide.library() is None:
        sys.exit("this CPU has no AVX-512, or scipy-openblas32 is not installed: products go to NumPy alone")
    revision = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    rows = []
    for tokens in TOKENS:
        for into, out in LAYERS:
            x_TI, w_OI, g_TO = torch.randn(tokens, into), torch.randn(out, into), torch.randn(tokens, out)
            for what, a, b in (("forward", x_TI, w_OI.T), ("input's gradient", g_TO, w_OI), ("weight's", g_TO.T, x_TI)):
                left, right, plain = array(a), array(b), np.empty((a.shape[0], b.shape[1]), np.float32)
                made = torch.empty(plain.shape)
                haswell = best(lambda x=left, y=right, p=plain: np.matmul(x, y, out=p), args.repeats)
                ours = best(lambda x=a, y=b, m=made: torch.mm(x, y, out=m), args.repeats)
                same = np.array_equal(plain.view(np.uint32), made.numpy().view(np.uint32))
                giga = 2e-9 * tokens * into * out
                row = [what, tokens, into, out, f"{giga / ours:.0f}", f"{giga / haswell:.0f}", f"{haswell / ours:.2f}"]
                rows.append([*row, same, cpu_name(), revision])
                print(*rows[-1], file=sys.stderr, flush=True)
    with args.out.open("w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow([*COLUMNS, "device", "revision"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
