"""CPU seconds before the work begins: `spectrum --help`, and the imports of stages beside those of their libraries.

    python -m benchmarks.starts [--rounds 3] [--out benchmarks/starts.csv]

Each is a process of its own, and they take turns.  Of a stage this is `import tokenspectrum.stages.<name>`; of its
libraries the import of what no stage of that kind can do without.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.raw import child_cpu_seconds, median, save

PYTHON = (sys.executable, "-c")
MODELS = "import torch; from transformers.models.auto.modeling_auto import AutoModelForCausalLM"
STARTS = {
    "spectrum --help": (
        "import os, sys; sys.stdout = open(os.devnull, 'w'); from tokenspectrum.cli.main import main; main(['--help'])",
        "pass",
    ),
    "result": ("import tokenspectrum.stages.result", "import duckdb, pydantic, yaml"),
    "weights": ("import tokenspectrum.stages.weights", "import torch"),
    "train": ("import tokenspectrum.stages.train", "import torch"),
    "tokens": ("import tokenspectrum.stages.tokens", MODELS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    pairs = [
        (what, who, code)
        for what, codes in STARTS.items()
        for who, code in zip(("ours", "its libraries"), codes, strict=True)
    ]
    found: dict[tuple[str, str], list[float]] = {(what, who): [] for what, who, _ in pairs}
    for _ in range(args.rounds):
        for what, who, code in pairs:
            found[what, who].append(child_cpu_seconds([*PYTHON, code]))
    save(args.out, [{"what": what, "who": who, "cpu_seconds": median(of)} for (what, who), of in found.items()])


if __name__ == "__main__":
    main()
