"""One server for all tests of a worker of pytest-xdist."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.warm import warm_server


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Stages and Snakemake begin in copies of one process, with the libraries loaded."""
    with warm_server(tmp_path_factory.mktemp("warm"), "stages", "driver") as where:
        yield where
