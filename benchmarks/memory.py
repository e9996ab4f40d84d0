"""Memory of the local trainer over 2,000 steps: its resident set after 10 steps and on the way to the last.

    python -m benchmarks.memory [--steps 2000]

A policy of two layers and random weights; 8 responses of at most 12 tokens a step.  Every step writes its token log,
and every 500th a checkpoint.  What is lost at each step shows the sooner, the less a step does otherwise.
"""

import argparse
import contextlib
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from benchmarks.policies import PROMPTS
from benchmarks.raw import save
from benchmarks.step.ours import EndedError, make_job
from tokenspectrum.params.policy import Shape
from tokenspectrum.policy.save import save_policy
from tokenspectrum.policy.tiny import build_model
from tokenspectrum.policy.tokenizer import build_tokenizer
from tokenspectrum.portable.kernels import install
from tokenspectrum.training import loop
from tokenspectrum.training.backends.local.backend import LocalBackend

CSV = Path(__file__).with_suffix(".csv")
SHAPE = Shape(layers=2, hidden=32, intermediate=48, heads=2, kv_heads=1, head_dim=16)
FIRST = 10


def resident_mib() -> float:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def watched(steps: int, found: dict[int, float]) -> type[loop.StepLog]:
    """The step log, which notes memory at step FIRST and at every tenth of the run, and ends it."""

    class Watched(loop.StepLog):
        def add(self, record: Any) -> None:
            super().add(record)
            if record.step == FIRST or record.step % (steps // 10) == 0:
                found[record.step] = resident_mib()
            if record.step == steps:
                raise EndedError

    return Watched


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    args = parser.parse_args()
    install()
    found: dict[int, float] = {}
    loop.StepLog = watched(args.steps, found)
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        work = Path(name)
        tokenizer = build_tokenizer()
        save_policy(build_model(SHAPE, tokenizer, 1), tokenizer, work / "policy")
        size = (2, 4, 12, 1, args.steps, 10)
        job = make_job(
            {"size": size, "work": name, "policy": str(work / "policy"), "prompts_at": str(PROMPTS)}, args.steps
        )
        # So gently that the responses stay as long as they are.
        train, systems = job.train.model_copy(update={"learning_rate": 1e-6}), {"checkpoint_every": 500}
        job = replace(job, train=train, systems=job.systems.model_copy(update=systems))
        started = time.process_time()
        with contextlib.suppress(EndedError):
            loop.train(job, LocalBackend.start)
        seconds = time.process_time() - started
    row = {"steps": args.steps, "cpu_seconds": f"{seconds:.0f}", "step_10_mib": f"{found[FIRST]:.1f}"}
    row |= {"end_mib": f"{found[args.steps]:.1f}", "most_mib": f"{max(found.values()):.1f}"}
    row["on_the_way"] = " ".join(f"{step}:{mib:.1f}" for step, mib in found.items())
    print(*row.items(), sep="\n")
    save(CSV, [row])


if __name__ == "__main__":
    main()
