"""Fixtures of the trainer's tests; what they are made of is in trainer_kit.py."""

from pathlib import Path

import pytest
import torch
import trainer_kit

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def policy_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trainer_kit.write_policy(tmp_path_factory.mktemp("policy") / "policy")


@pytest.fixture(scope="session")
def prompts_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trainer_kit.write_prompts(tmp_path_factory.mktemp("prompts"), 24)


@pytest.fixture
def make_job(policy_dir: Path, prompts_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """make_job(name, ...): a job whose out and checkpoints lie under tmp_path/name."""
    monkeypatch.delenv("SNAKEDVC_LOG_DIR", raising=False)

    def make(name: str, *, policy: Path = policy_dir, **fields):
        return trainer_kit.make_job(tmp_path / name, prompts_dir, policy, **fields)

    return make
