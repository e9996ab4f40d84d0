"""The groups of rows, a file each: ROWS (what, goal, where the figures stand) and SCRIPTS (who measures)."""

import importlib
import pkgutil

from benchmarks.table.row import Row, Script


def all_rows() -> list[Row]:
    """The rows of every group, groups by name."""
    return [row for group in _groups() for row in group.ROWS]


def all_scripts() -> list[Script]:
    """The scripts of every group, groups by name."""
    return [script for group in _groups() for script in group.SCRIPTS]


def _groups() -> list:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]
