"""Stage `evaluate_base`: mean@k of the base policy under one evaluation seed, as step 0 of the run `base`.

The base policy and the trained runs of one seed get the same random draws, so they can be compared sample by sample.
"""

import argparse
from pathlib import Path

import torch  # noqa: F401  entry.py sets its threads and kernels, and it is imported later else

from tokenspectrum.evaluation.scores import Evaluation, write_scores
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.dtype import PolicyDtype
from tokenspectrum.params.evaluate import EvaluateParams
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams

BASE = "base"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "benchmarks": "folder of the benchmarks' problems",
        "policy": "folder of the base policy",
        "out": "folder to write the scores into",
        "samples": "folder to write texts and tokens of the samples into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    parser.add_argument("--seed", type=int, required=True, help="evaluation seed")
    args = parser.parse_args(argv)
    params, reward, systems, dtype = read_sections(
        evaluate=EvaluateParams, reward=RewardParams, systems=SystemsParams, **{"train.dtype": PolicyDtype}
    )
    evaluation = Evaluation(BASE, args.seed, params, reward, systems, dtype.root)
    write_scores(evaluation, [(0, args.policy)], args.benchmarks, args.out, args.samples)


if __name__ == "__main__":
    run(main)
