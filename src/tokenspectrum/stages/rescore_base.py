"""Stage `rescore_base`: the probe of one base policy, token by token, as every base policy scores it.

Out: the table `rescored` of the run `base`, step 0, a file a scoring policy; `seed` is the policy that scores, `base`
the one whose probe it is.  That the base policy scores its own probe once more tells what arithmetic alone changes.
"""

import argparse
from pathlib import Path

import torch  # noqa: F401  entry.py sets its threads and kernels, and it is imported later else

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.values import Numbers
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
        "policies": "folder of all base policies, by their numbers",
        "out": "folder to write the table rescored into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    args = parser.parse_args(argv)
    systems, bases = read_sections(systems=SystemsParams, bases=Numbers)
    probe = Probed(args.rollouts)
    with Progress("rescore_base", total=len(bases.root)) as progress:
        for done, base in enumerate(bases.root, 1):
            policy = args.policies / str(base)
            if not policy.is_dir():
                raise UserError(f"{policy}: no such folder; run the policy stage of base {base}")
            write_rescored(args.out, probe, policy, systems, "rescored", run="base", seed=base, step=0)
            progress.update(done)
    write_manifest(args.out)


if __name__ == "__main__":
    run(main)
