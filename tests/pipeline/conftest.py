"""The clone that the tests of incremental reruns share."""

import pytest
from pipeline_kit import Clone, make_clone, shrink


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """One clone for the session, its table made once."""
    clone = make_clone(tmp_path_factory.mktemp("pipeline") / "clone", "tiny")
    clone.params(shrink)
    return clone
