"""The parts of Snakemake that are used without a promise: they are there, in one file, and missed by name."""

import importlib.metadata
import re
from types import SimpleNamespace

import pytest
from bridge_kit import ROOT

from snakedvc.errors import ProjectError
from snakedvc.planning import internals


def test_the_pinned_version_is_what_runs_here_and_what_the_package_asks_for():
    assert importlib.metadata.version("snakemake").startswith(internals.PINNED + ".")
    assert f"snakemake=={internals.PINNED}.*" in (ROOT / "pyproject.toml").read_text()


def test_a_part_that_another_version_lacks_is_named():
    with pytest.raises(ProjectError, match=rf"no workflow.is_main_process, which planning needs: install {9.27}"):
        internals.check_pins(SimpleNamespace())


def test_all_that_is_reached_into_is_in_one_file():
    for path in (ROOT / "src/snakedvc").rglob("*.py"):
        if path.name != "internals.py":
            text = path.read_text()
            assert not re.search(r"^\s*(from|import) snakemake", text, re.MULTILINE), path
            assert not re.search(r"iocache|dag_settings|\.persistence|\.dag\b", text), path
