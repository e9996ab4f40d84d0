"""A checkpoint to import for, and a project of one preset to import into."""

import shutil
from pathlib import Path

import pytest
from kit.policy import write_boxes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_boxes(tmp_path_factory.mktemp("hub") / "theirs")


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "presets").mkdir()
    shutil.copy(ROOT / "presets/tiny.yaml", tmp_path / "presets")
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNAKEDVC_PARAMS", raising=False)
    monkeypatch.delenv("SNAKEDVC_LOG_DIR", raising=False)
    return tmp_path
