"""Stage `run_gradients`: how the updates of one training run are made up, at the steps that params name.

The batch of step s was sampled by the policy after step s - 1, which is kept with the run (train.keep_steps); that of
step 1 by the base policy.  So the ratio is 1, whichever trainer wrote the log.

Out: the tables of the stage gradients, at each of the steps.
"""

import argparse
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.gradients.write import write_update
from tokenspectrum.params.base import read_sections
from tokenspectrum.params.gradients import GradientsParams, LayerSubsets
from tokenspectrum.params.run_gradients import RunGradientsParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.values import Alignment
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout.logged import Logged
from tokenspectrum.rollout.questions import encode_questions, read_questions
from tokenspectrum.stages.entry import run
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.tokenlog.writer import write_manifest
from tokenspectrum.weighting.probe import Probe


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for flag, what in {
        "prompts": "folder of the training prompts",
        "base": "folder of the base policy",
        "policies": "folder of the run's policies, step=<NNNNN> each",
        "tokenlog": "folder of its token log",
        "vocab": "folder of the policy's vocabulary",
        "out": "folder to write the tables into",
    }.items():
        parser.add_argument(f"--{flag}", type=Path, required=True, help=what)
    parser.add_argument("--stage", required=True, help="the stage that trained the run, for messages")
    args = parser.parse_args(argv)
    params, probes, sampling, systems, alignment = read_sections(
        gradients=GradientsParams,
        run_gradients=RunGradientsParams,
        sampling=SamplingParams,
        systems=SystemsParams,
        **{"tokens.alignment": Alignment},
    )
    # A run logs few layers, so the sweep over layers is the base policy's.
    params = params.model_copy(update={"by_layer": LayerSubsets()})
    questions = [question for part in read_questions(args.prompts).values() for question in part]
    for step in probes.steps:
        model, tokenizer = load_policy(sampled_by(args.base, args.policies, step, args.stage), device=systems.device)
        prompts = encode_questions(questions, tokenizer, sampling.max_prompt_tokens)
        batch = Logged(args.tokenlog, step, {prompt.prompt_id: prompt.token_ids for prompt in prompts})
        scores = Probe(args.tokenlog, args.tokenlog, args.tokenlog, args.vocab, step=step)
        write_update(args.out, model, batch, scores, params, alignment.root, systems)
    write_manifest(args.out)


def sampled_by(base: Path, policies: Path, step: int, stage: str) -> Path:
    """The folder of the policy that sampled the batch of `step`; a UserError names the stage that brings it back."""
    if step == 1:
        return base
    folder = policies / f"step={step - 1:05d}"
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder}: the policy that sampled the batch of step {step} is not there; it was cleared, or never kept "
            f"(train.keep_steps): stage {stage} brings it back"
        )
    return folder


if __name__ == "__main__":
    run(main)
