"""CPU-seconds of a DAPO step, ours beside TRL's GRPOTrainer with `top_entropy_quantile`, one thread each.

    python -m benchmarks.dapo_step [--policies tiny smollm2-135m]

Both train on the fifth of a mini-batch's tokens with the highest predictive entropy, with the same prompts, batch
sizes, clip range, optimiser and reward.  TRL takes the entropies at the update, ours those of the old policy; on the
first mini-batch they are the same.  Ours writes its token log with the attention statistics of the middle layer.

Each trainer runs in a process of its own as its users run it: ours as a stage does, on portable arithmetic; TRL on the
libraries' own.  In a batch `whole` each samples for itself.  In a batch `given` both train on the responses that ours
sampled, and what that took does not count.  A step of TRL counts from its beginning to that of the next.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from benchmarks.policies import PROMPTS, folder
from benchmarks.raw import ROOT, median, save

CSV = Path(__file__).with_suffix(".csv")
# Of a step: prompts, samples, tokens of a response, mini-batches; steps, the first of which warms up; and the last
# tokens of a response over which the overlong penalty grows.  The larger policy never answers in so few tokens: only
# that penalty makes its rewards differ, so it is wide.
SIZES = {"tiny": (16, 8, 90, 4, 5, 10), "smollm2-135m": (2, 4, 48, 2, 2, 40)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", nargs="+", choices=tuple(SIZES), default=list(SIZES))
    args = parser.parse_args()
    rows = []
    for policy in args.policies:
        prompts, samples, _, mini_batches, steps, _ = SIZES[policy]
        at = {"policy": policy, "prompts": prompts, "samples": samples, "mini_batches": mini_batches}
        with tempfile.TemporaryDirectory(prefix="dapo-step-") as name:
            work = Path(name)
            for who, given in (("ours", False), ("trl", False), ("trl", True)):
                out = work / f"{who}-{given}.json"
                facts = {"policy": str(folder(policy)), "prompts_at": str(PROMPTS), "size": SIZES[policy]}
                facts |= {"work": str(work), "given": given, "out": str(out)}
                subprocess.run(
                    [sys.executable, "-m", f"benchmarks.step.{who}", json.dumps(facts)], cwd=ROOT, check=True
                )
                found = json.loads(out.read_text())
                kinds = {"given": "given_cpu_seconds"} if given else {"whole": "cpu_seconds"}
                if who == "ours":
                    kinds["given"] = "given_cpu_seconds"
                for batch, column in kinds.items():
                    row = at | {"who": who, "batch": batch, "cpu_seconds": median(found[column][1:])}
                    row |= {"steps": steps, "response_tokens": found["response_tokens"]}
                    row |= {"without_advantage": found["without_advantage"], "logged": found["logged"]}
                    rows.append(row)
                    print(*row.values(), sep="  ", flush=True)
    save(CSV, rows, by=["policy"])


if __name__ == "__main__":
    main()
