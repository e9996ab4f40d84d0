"""Train jobs of 4 steps over the policy of `letters`, and a whole run of one."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from kit.files import tree
from kit.rules import ANCHOR
from kit.tables import write_questions
from tokenspectrum.params.reward import OverlongParams, RewardParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.train import TrainParams
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.tokenlog.reader import check_folder
from tokenspectrum.training.backends.local.trainer import train
from tokenspectrum.training.job import TrainJob
from tokenspectrum.weighting.rule import Rule

torch.set_num_threads(1)
TRAIN = {
    "trainer": "local",
    "dtype": "float32",
    "steps": 4,
    "prompts_per_step": 4,
    "mini_batches": 2,
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "weight_decay": 0.01,
    "betas": [0.9, 0.999],
    "grad_clip": 1.0,
    "clip": {"low": 0.2, "high": 0.28, "dual": 10.0},
    "keep_steps": [],
    "token_log": {
        "tokens": "every_step",
        "attention": "streaming",
        "layers": ["rule"],
        "local_window": 4,
        "row_stats": {"every": 2, "responses": 5, "rows": 7, "top_k": 3, "fixed_k": 4},
    },
}
SYSTEMS = {"threads": 1, "micro_batch": 8, "generate_batch": 256, "checkpoint_every": 2, "tracker": "none"}


def train_params(**changes) -> TrainParams:
    """TRAIN with changes; `token_log` given as a dict of changes."""
    merged = {**TRAIN, **changes, "token_log": {**TRAIN["token_log"], **changes.get("token_log", {})}}
    return TrainParams.model_validate_json(json.dumps(merged))


def write_prompts(root: Path, count: int) -> Path:
    """The folder of the training prompts: `count` sums of differing lengths in `letters`."""
    problems = [Problem("sums", f"{i}+{3 * i % 7}" + " ?" * (i % 4), str(i)) for i in range(count)]
    return write_questions(root, {"train": problems})


def make_job(
    root: Path,
    prompts: Path,
    policy: Path,
    *,
    rule: Rule = ANCHOR,
    train: dict | None = None,
    systems: dict | None = None,
    **fields,
) -> TrainJob:
    """A run of 4 steps with out and checkpoints under `root`; `train` and `systems` are changes to the params.

    Responses end when the policy happens to say so, and the overlong penalty makes their rewards differ.
    """
    job = TrainJob(
        run="method",
        seed=1,
        method="method",
        preset="test",
        policy_name="random",
        rule=rule,
        prompts=prompts,
        policy=policy,
        out=root / "out",
        metrics=root / "out" / "metrics",
        checkpoints=root / "checkpoints",
        train=train_params(**(train or {})),
        sampling=SamplingParams(temperature=1.0, top_p=0.95, n=4, max_prompt_tokens=16, max_response_tokens=16),
        reward=RewardParams(integer_sources=(), overlong=OverlongParams(buffer=12, factor=1.0)),
        systems=SystemsParams(**SYSTEMS | (systems or {})),
    )
    return replace(job, **fields)


def stage_of(job: TrainJob, folder: Path) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of the stage `train` that does `job`; its params and rule go into `folder`."""
    folder.mkdir(exist_ok=True)
    params = {name: getattr(job, name).model_dump(mode="json") for name in ("train", "sampling", "reward", "systems")}
    (folder / "params.yaml").write_text(json.dumps(params))
    (folder / "rule.json").write_text(job.rule.to_json())
    flags = {
        "run": job.run,
        "seed": job.seed,
        "preset": job.preset,
        "policy-name": job.policy_name,
        "rule": folder / "rule.json",
        "prompts": job.prompts,
        "policy": job.policy,
        "out": job.out,
        "metrics": job.metrics,
    }
    command = [sys.executable, "-m", "tokenspectrum.stages.train"]
    environment = {
        "SNAKEDVC_PARAMS": str(folder / "params.yaml"),
        "SNAKEDVC_CHECKPOINT_DIR": str(job.checkpoints),
        "OMP_NUM_THREADS": "1",
    }
    return command + [str(word) for flag, value in flags.items() for word in (f"--{flag}", value)], environment


def run(job: TrainJob) -> dict[str, str]:
    """Train to the end, check the manifests, and give every output by its sha256."""
    train(job)
    for part in ("policy", "metrics", "tokenlog"):
        check_folder(job.out / part)
    return tree(job.out)
