"""Stage `evaluate`: mean@k of one run's trained policies: the final one, and others that params list.

Out: the table `scores` and summary.json.  Knows how a trained run's policy folder names its steps.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import torch  # noqa: F401  entry.py sets its threads and kernels, and it is imported later else

from tokenspectrum.errors import UserError
from tokenspectrum.evaluation.scores import Evaluation, write_scores
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.dtype import PolicyDtype
from tokenspectrum.params.evaluate import EvaluateParams
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "benchmarks": "folder of the benchmarks' problems",
        "policy": "folder of the run's policies, step=<NNNNN> each",
        "out": "folder to write the scores into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    parser.add_argument("--run", required=True, help="name of the run, as the tables hold it")
    parser.add_argument("--seed", type=int, required=True, help="seed of the run, and of the sampling here")
    args = parser.parse_args(argv)
    params, reward, systems, dtype = read_sections(
        evaluate=EvaluateParams, reward=RewardParams, systems=SystemsParams, **{"train.dtype": PolicyDtype}
    )
    evaluation = Evaluation(args.run, args.seed, params, reward, systems, dtype.root)
    write_scores(evaluation, chosen_policies(args.policy, params.steps), args.benchmarks, args.out)


def chosen_policies(root: Path, steps: Sequence[int | str]) -> list[tuple[int, Path]]:
    """(step, folder) of the steps asked for, ascending, each once.  UserError if a step was not kept."""
    folders = root.iterdir() if root.is_dir() else ()
    kept = {int(m.group(1)): folder for folder in folders if (m := re.fullmatch(r"step=(\d+)", folder.name))}
    if not kept:
        raise UserError(f"{root}: no policy step=<NNNNN> in it; run the train stage")
    wanted = {max(kept) if step == "final" else int(step) for step in steps}
    if missing := sorted(wanted - kept.keys()):
        have = ", ".join(map(str, sorted(kept)))
        raise UserError(
            f"evaluate.steps: step {missing[0]} is not in {root}, which has {have}; add it to train.keep_steps"
        )
    return [(step, kept[step]) for step in sorted(wanted)]


if __name__ == "__main__":
    run(main)
