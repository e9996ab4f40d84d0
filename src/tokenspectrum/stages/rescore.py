"""Stage `rescore`: the base policy's probe, token by token, as the policies score it that one run kept.

Out: the table `rescored`, a file a kept step.  Nothing is sampled: every policy scores the same responses.
"""

import argparse
from pathlib import Path

import torch  # noqa: F401  entry.py sets its threads and kernels, and it is imported later else

from tokenspectrum.params.base import read_sections
from tokenspectrum.params.rescore import RescoreSteps
from tokenspectrum.policy.kept import chosen_policies, kept_policies
from tokenspectrum.rollout.probed import Probed
from tokenspectrum.rollout.rescored import write_rescored
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.systems.progress import Progress
from tokenspectrum.tokenlog.writer import write_manifest


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "rollouts": "folder of the base policy's responses",
        "policy": "folder of the run's policies, step=<NNNNN> each",
        "out": "folder to write the table rescored into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    parser.add_argument("--run", required=True, help="name of the run, as the tables hold it")
    parser.add_argument("--seed", type=int, required=True, help="seed of the run")
    args = parser.parse_args(argv)
    systems, steps = read_sections(systems=SystemsParams, **{"rescore.steps": RescoreSteps})
    probe = Probed(args.rollouts)
    if steps.root == "kept":
        chosen = list(kept_policies(args.policy).items())
    else:
        chosen = chosen_policies(args.policy, steps.root, "rescore.steps")
    with Progress("rescore", total=len(chosen)) as progress:
        for done, (step, policy) in enumerate(chosen, 1):
            write_rescored(args.out, probe, policy, systems, "rescored", run=args.run, seed=args.seed, step=step)
            progress.update(done)
    write_manifest(args.out)


if __name__ == "__main__":
    run(main)
