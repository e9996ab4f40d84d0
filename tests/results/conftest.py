"""Fixtures of the analysis tests: a small project with every table, and its params."""

import copy
import shutil
from pathlib import Path

import pytest
from results_fixtures import PARAMS, write_artifacts


@pytest.fixture(scope="session")
def _template(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    write_artifacts(folder)
    return folder


@pytest.fixture
def artifacts(tmp_path, monkeypatch, _template) -> Path:
    """artifacts/small with every table; the test's working directory is its repository root."""
    monkeypatch.chdir(tmp_path)
    folder = Path("artifacts/small")
    shutil.copytree(_template, folder)
    return folder


@pytest.fixture
def params(artifacts) -> dict:
    """A whole params.yaml's worth of values for the fixture; change them and call `save_params`."""
    return copy.deepcopy(PARAMS)
