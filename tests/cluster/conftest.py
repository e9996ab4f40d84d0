"""The suite in two lanes of pytest-xdist: the files that launch verl one after the other, and all others beside them.

Files that launch verl share their runs, and two launches at once would want more memory than a small machine has.
"""

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

LAUNCHES = {"test_verl_train", "test_verl_resume", "test_verl_two_nodes"}


class Lanes(LoadScopeScheduling):
    """Each file stays with one worker, and all launches with the same one."""

    def _split_scope(self, nodeid: str) -> str:
        stem = Path(nodeid.split("::")[0]).stem
        return "launches" if stem in LAUNCHES else stem


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Asked for by `-n`."""
    return Lanes(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The lane that takes longest starts first."""
    items.sort(key=lambda item: item.path.stem not in LAUNCHES)
