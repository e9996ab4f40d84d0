"""The clone that the tests of incremental reruns share."""

from pathlib import Path

import pytest
from pipeline_kit import Clone, make_clone, shrink


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Clone:
    """One clone for the session, its table made once."""
    clone = make_clone(tmp_path_factory.mktemp("pipeline") / "clone", "tiny", warm)
    clone.params(shrink)
    return clone
