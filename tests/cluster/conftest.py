"""The suite in lanes of pytest-xdist: the files that launch verl one after the other, and all others beside them.

Files that launch verl share their runs, and two launches at once would want more memory than a small machine has.
"""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lanes import Lanes

LAUNCHES = dict.fromkeys(("test_verl_train", "test_verl_resume", "test_verl_two_nodes"), "launches")
# What takes longest starts first.
LONGEST = [*LAUNCHES, "test_vllm_engine", "test_ray_launch", "test_verl_equivalence", "test_ray_join"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    """Asked for by `-n`."""
    return Lanes(config, log, LAUNCHES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lanes start in the order of their first tests."""
    items.sort(key=lambda item: [*LONGEST, item.path.stem].index(item.path.stem))
