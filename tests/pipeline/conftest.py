"""The clone that the tests of incremental reruns share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.warm import warm_server
from pipeline_kit import Clone, make_clone, shrink


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Stages and Snakemake begin in copies of one process, with the libraries loaded."""
    with warm_server(tmp_path_factory.mktemp("warm"), "stages", "driver") as where:
        yield where


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Clone:
    """One clone for the session, its table made once."""
    clone = make_clone(tmp_path_factory.mktemp("pipeline") / "clone", "tiny", warm)
    clone.params(shrink)
    return clone
