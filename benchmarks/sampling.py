"""Tokens a CPU-second that the local engine samples, beside transformers' `generate` and vLLM; one thread each.

    python -m benchmarks.sampling [--cases tiny tiny-32 smollm2-135m] [--without vllm]

Each samples in a process of its own as its users run it: ours on portable arithmetic, as a stage does; the others on
the libraries' own.  Same prompts, temperature 1, top-p 0.95.  vLLM is taken from the cluster's environment
(`make setup-cluster`); without it its rows say so.  The tokens of responses count, not padding behind their end.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.policies import folder
from benchmarks.raw import ROOT, save

CSV = Path(__file__).with_suffix(".csv")
# Policy, prompts, samples of each, tokens of a response at most, passes (the median counts), warm-up passes.
CASES = {
    "tiny": ("tiny", 16, 8, 90, 7, 1),
    "tiny-32": ("tiny", 4, 8, 90, 7, 1),
    "smollm2-135m": ("smollm2-135m", 4, 4, 64, 1, 0),
}
WHO = ("ours", "generate", "vllm")
CLUSTER = ROOT / ".venv-cluster/bin/python"
# The longest that a sampler may take, in seconds on the clock.
TIMEOUT = 400


def measure(who: str, case: str) -> dict[str, object]:
    """The cells of one row: a rate and what it is made of, or why there is none."""
    policy, *size = CASES[case]
    if who == "vllm" and not CLUSTER.exists():
        return {"why": "vLLM is not installed: make setup-cluster"}
    python = str(CLUSTER) if who == "vllm" else sys.executable
    facts = {"who": who, "policy": str(folder(policy)), "size": size}
    command, env = [python, "-m", "benchmarks.sampler", json.dumps(facts)], os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return {"why": f"{who} took more than {TIMEOUT} seconds"}
    if done.returncode:
        return {"why": f"{who} ended with {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--without", nargs="*", choices=WHO, default=[])
    args = parser.parse_args()
    rows = []
    for case in args.cases:
        for who in (w for w in WHO if w not in args.without):
            rows.append({"policy": case, "rows": CASES[case][1] * CASES[case][2], "who": who} | measure(who, case))
            print(*rows[-1].values(), sep="  ", flush=True)
    save(CSV, rows, by=["policy"])


if __name__ == "__main__":
    main()
