"""A folder that `spectrum` takes for a project: the presets and dvc.yaml of this one, and nothing made."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "presets").mkdir()
    shutil.copy(ROOT / "presets" / "tiny.yaml", tmp_path / "presets")
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / "workflow").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path
