"""Files of tests in lanes: one worker of pytest-xdist takes a whole lane, one test after the other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


class Lanes(LoadScopeScheduling):
    """A file that `lanes` does not name, by its stem, is a lane of its own."""

    def __init__(self, config: pytest.Config, log: Any, lanes: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._lanes = lanes

    def _split_scope(self, nodeid: str) -> str:
        stem = Path(nodeid.split("::")[0]).stem
        return self._lanes.get(stem, stem)
