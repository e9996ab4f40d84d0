"""Every result there is, found by its folder.

Used where the whole pipeline is in view: params as a whole, dvc.yaml, docs, the plan.  No stage imports it, so that no
stage's key holds every result.
"""

import importlib
from functools import cache
from pathlib import Path

from tokenspectrum.results.declare import Result

PACKAGE = "tokenspectrum.results"


@cache
def results() -> dict[str, Result]:
    """Name -> declaration of each folder of results/ whose `__init__.py` has a RESULT, by name."""
    folder = Path(__file__).parent
    found = {}
    for path in sorted(folder.glob("*/__init__.py")):
        module = importlib.import_module(f"{PACKAGE}.{path.parent.name}")
        if hasattr(module, "RESULT"):
            found[path.parent.name] = module.RESULT
    return found
