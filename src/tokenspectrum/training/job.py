"""What a trainer is asked to do: one run under one seed.  The same for all trainers.  Knows names, paths and params."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenspectrum.params.reward import RewardParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.train import TrainParams
from tokenspectrum.systems.params import SystemsParams
from tokenspectrum.tokenlog.reader import read_manifest
from tokenspectrum.tokenlog.writer import sha256
from tokenspectrum.weighting.rule import Rule


@dataclass(frozen=True)
class TrainJob:
    """One run under one seed.  `out` gets policy/ and tokenlog/; `metrics` gets the table metrics.

    `checkpoints` is no output.  method, preset and policy_name are texts for the table `runs`; `run` holds no seed.
    """

    run: str
    seed: int
    method: str
    preset: str
    policy_name: str
    rule: Rule
    prompts: Path
    policy: Path
    out: Path
    metrics: Path
    checkpoints: Path
    train: TrainParams
    sampling: SamplingParams
    reward: RewardParams
    systems: SystemsParams

    @property
    def alignment(self) -> Literal["decision", "token"]:
        """Which query's attention row is a token's: the rule's choice, for the log too."""
        score = self.rule.looks_at
        return "decision" if score is None or score.alignment is None else score.alignment

    @property
    def clip_range(self) -> tuple[float, float]:
        """The importance ratios between which nothing is clipped."""
        return 1 - self.train.clip.low, 1 + self.train.clip.high

    def targets(self) -> dict[str, Path]:
        """Where each of the three outputs goes.  Metrics are apart: results depend on them, and not on token logs."""
        return {"policy": self.out / "policy", "tokenlog": self.out / "tokenlog", "metrics": self.metrics}

    def identity(self) -> str:
        """sha256 of all that decides the result.  A checkpoint of another identity is not resumed."""
        facts: Mapping[str, Any] = {
            "run": self.run,
            "seed": self.seed,
            "words": [self.method, self.preset, self.policy_name],
            "rule": self.rule.to_json(),
            "train": self.train.model_dump(mode="json"),
            "sampling": self.sampling.model_dump(mode="json"),
            "reward": self.reward.model_dump(mode="json"),
            "prompts": read_manifest(self.prompts)["files"],
            "policy": {path.name: sha256(path) for path in sorted(self.policy.iterdir()) if path.is_file()},
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
