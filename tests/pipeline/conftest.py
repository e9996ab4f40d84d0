"""The clone that the tests of incremental reruns share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_kit import Clone, make_clone, shrink, warm_server


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Stages begin in copies of one process, with the libraries loaded."""
    with warm_server(tmp_path_factory.mktemp("warm")) as where:
        yield where


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Clone:
    """One clone for the session, its table made once."""
    clone = make_clone(tmp_path_factory.mktemp("pipeline") / "clone", "tiny", warm)
    clone.params(shrink)
    return clone
