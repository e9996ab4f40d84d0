"""Stage `rescore_base`: the probe of one base policy, token by token, as one base policy scores it: a job a pair.

Out: the table `rescored` of the run `base`, step 0; `seed` is the policy that scores, `base` the one whose probe it is.
That the base policy scores its own probe once more tells what arithmetic alone changes.
"""

import argparse
from pathlib import Path

import torch  # noqa: F401  entry.py sets its threads and kernels, and it is imported later else

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import read_sections
from tokenspectrum.rollout.probed import Probed
from tokenspectrum.rollout.rescored import write_rescored
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.tokenlog.writer import write_manifest


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "rollouts": "folder of the base policy's responses",
        "policy": "folder of the base policy that scores",
        "out": "folder to write the table rescored into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    parser.add_argument("--other", type=int, required=True, help="number of the base policy that scores")
    args = parser.parse_args(argv)
    (systems,) = read_sections(systems=SystemsParams)
    if not args.policy.is_dir():
        raise UserError(f"{args.policy}: no such folder; run the policy stage of base {args.other}")
    probe = Probed(args.rollouts)
    write_rescored(args.out, probe, args.policy, systems, "rescored", run="base", seed=args.other, step=0)
    write_manifest(args.out)


if __name__ == "__main__":
    run(main)
