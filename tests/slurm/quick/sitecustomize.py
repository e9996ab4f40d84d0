"""On the PYTHONPATH of the tests' drivers: Snakemake's Slurm plugin asks after its jobs every two seconds.

By itself it asks ten seconds later each time, up to three minutes, and a job of seconds is waited for half a minute.
Nothing else of it is touched.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

PLUGIN = "snakemake_executor_plugin_slurm"
SECONDS = 2


class Quick(MetaPathFinder):
    """Finds the plugin as everybody would, and changes its class once it is loaded."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != PLUGIN:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_change(module: ModuleType) -> None:
            load(module)
            # What the plugin sets after each check is not kept.
            module.Executor.next_seconds_between_status_checks = property(
                lambda self: SECONDS, lambda self, value: None
            )

        spec.loader.exec_module = load_and_change
        return spec


sys.meta_path.insert(0, Quick())
