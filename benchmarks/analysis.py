"""CPU seconds and memory of every result of the mechanism section, on a base policy's probe of many tokens.

    python -m benchmarks.analysis [--tokens 1e7] [--only support scatter] [--folder FOLDER] [--out FILE]

Each result is made by its stage, as the pipeline makes it: check the files, ask, compute, draw.  The probe is made up,
of one base policy and one layer; `layers` compares two.  --folder keeps the files, which take 37 bytes a token, and 62
with two layers.  Lines of other results, and of other numbers of tokens, stay in the file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.made_log import LAYER, write_gradients, write_probe
from benchmarks.raw import ROOT, save
from tokenspectrum.params.presets import read_preset
from tokenspectrum.results.discover import results

NAMES = ("support", "scatter", "quadrants", "strip", "maps", "layers", "pattern")


def params_file(folder: Path) -> Path:
    """Those of the preset tiny, for one base policy and the layer that was made up."""
    values = read_preset("tiny", ROOT / "presets").data
    values |= {"bases": [1], "replicates": [{"seed": 1, "base": 1}]}
    for own in values["analysis"].values():
        if "layer" in own:
            own["layer"] = LAYER
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def made(name: str, probe: Path, params: Path, out: Path) -> tuple[float, float]:
    """CPU seconds and peak MB of a result's stage, imports and all."""
    result = results()[name]
    words = [sys.executable, "-m", "tokenspectrum.stages.result", result.module]
    for source in result.reads:
        words += [f"--{source}", str(probe / source)]
    for kind in result.outs:
        words += [f"--{kind}", str(out / f"{name}.{kind}")]
    environment = os.environ | {"SNAKEDVC_PARAMS": str(params), "SNAKEDVC_LOG_DIR": str(out / "logs")}
    process = subprocess.Popen(words, cwd=out, env=environment | {"PYTHONPATH": str(ROOT / "src")})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{name}: exit {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=lambda text: int(float(text)), default=10_000_000)
    parser.add_argument("--only", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--folder", type=Path, help="where the probes are, or are to be, instead of a temporary folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, lines = args.folder or Path(temporary), []
        params = params_file(Path(temporary))
        for name in args.only:
            layers = 2 if name == "layers" else 1
            probe = folder / f"{args.tokens}-{layers}"
            if not probe.exists():
                write_probe(probe, args.tokens, layers=layers)
                write_gradients(probe)
            seconds, megabytes = made(name, probe, params, Path(temporary))
            row = {"result": name, "tokens": args.tokens, "layers": layers, "cpu_seconds": round(seconds, 1)}
            lines.append(row | {"peak_mb": round(megabytes)})
            print(lines[-1], file=sys.stderr, flush=True)
    save(args.out, lines, by=("result", "tokens", "layers"))


if __name__ == "__main__":
    main()
