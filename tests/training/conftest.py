"""Fixtures of the trainer's tests; what they are made of is in kit/jobs.py."""

from pathlib import Path

import pytest
import torch
from kit import jobs
from kit.policy import write_letters

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def policy_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_letters(tmp_path_factory.mktemp("policy") / "policy")


@pytest.fixture(scope="session")
def prompts_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jobs.write_prompts(tmp_path_factory.mktemp("prompts"), 24)


@pytest.fixture
def make_job(policy_dir: Path, prompts_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """make_job(name, ...): a job whose out and checkpoints lie under tmp_path/name."""
    monkeypatch.delenv("SNAKEDVC_LOG_DIR", raising=False)

    def make(name: str, *, policy: Path = policy_dir, **fields):
        return jobs.make_job(tmp_path / name, prompts_dir, policy, **fields)

    return make
