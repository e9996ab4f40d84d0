"""Stage `evaluate`: mean@k of one run's trained policies: the final one, and others that params list.

Outs: the table `scores` with summary.json, and the table `evaluated`.
"""

import argparse
from pathlib import Path

import torch  # noqa: F401  entry.py sets its threads and kernels, and it is imported later else

from tokenspectrum.evaluation.scores import Evaluation, write_scores
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.dtype import PolicyDtype
from tokenspectrum.params.evaluate import EvaluateParams
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.policy.kept import chosen_policies
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "benchmarks": "folder of the benchmarks' problems",
        "policy": "folder of the run's policies, step=<NNNNN> each",
        "out": "folder to write the scores into",
        "samples": "folder to write texts and tokens of the samples into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    parser.add_argument("--run", required=True, help="name of the run, as the tables hold it")
    parser.add_argument("--seed", type=int, required=True, help="seed of the run, and of the sampling here")
    args = parser.parse_args(argv)
    params, reward, systems, dtype = read_sections(
        evaluate=EvaluateParams, reward=RewardParams, systems=SystemsParams, **{"train.dtype": PolicyDtype}
    )
    evaluation = Evaluation(args.run, args.seed, params, reward, systems, dtype.root)
    write_scores(evaluation, chosen_policies(args.policy, params.steps), args.benchmarks, args.out, args.samples)


if __name__ == "__main__":
    run(main)
