"""Stage `train`: one method under one seed, from the base policy to the last step, with every token logged.

Out: policy/step=NNNNN/ (the final step and those of train.keep_steps), tokenlog/ (tables runs, responses, tokens,
attention, attention_rows) and, apart, the table metrics.  Checkpoints go to $SNAKEDVC_CHECKPOINT_DIR, or beside the
output folder if it is not set.  Exit code 75: stopped by SIGTERM after a checkpoint; the same command resumes there.
"""

import argparse
import os
import shutil
from pathlib import Path

import torch  # noqa: F401  entry.py sets its threads and kernels, and it is imported later else

from tokenspectrum.params.base import read_sections
from tokenspectrum.params.reward import RewardParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.train import TrainParams
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.training.job import TrainJob
from tokenspectrum.training.trainers import trainer
from tokenspectrum.weighting.registry import read_rule

CHECKPOINT_ENV = "SNAKEDVC_CHECKPOINT_DIR"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "prompts": "folder of the training prompts",
        "policy": "folder of the base policy",
        "rule": "rule.json of the method, from the weights stage",
        "out": "folder to write policy/ and tokenlog/ into",
        "metrics": "folder to write the table metrics into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    for flag, what in {
        "run": "name of the run, which is its method's",
        "preset": "name of the preset, for the table runs",
        "policy-name": "name of the base policy, for the table runs",
    }.items():
        parser.add_argument(f"--{flag}", required=True, help=what)
    parser.add_argument("--seed", type=int, required=True, help="seed of the run")
    args = parser.parse_args(argv)
    params, sampling, reward, systems = read_sections(
        train=TrainParams, sampling=SamplingParams, reward=RewardParams, systems=SystemsParams
    )
    train = trainer(params.trainer)
    given = os.environ.get(CHECKPOINT_ENV)
    checkpoints = Path(given) if given else args.out.parent / f".{args.out.name}.checkpoints"
    train(
        TrainJob(
            run=args.run,
            seed=args.seed,
            method=args.run,
            preset=args.preset,
            policy_name=args.policy_name,
            rule=read_rule(args.rule),
            prompts=args.prompts,
            policy=args.policy,
            out=args.out,
            metrics=args.metrics,
            checkpoints=checkpoints,
            train=params,
            sampling=sampling,
            reward=reward,
            systems=systems,
        )
    )
    if not given:
        # Delete our own folder, since nobody else will.  A folder that was given is kept until the outputs are safe.
        shutil.rmtree(checkpoints)


if __name__ == "__main__":
    run(main)
