"""Every result there is, found by its folder.

Used where the whole pipeline is in view: params as a whole, dvc.yaml, docs, the plan.  No stage imports it, so that no
stage's key holds every result.
"""

import importlib
import os
import traceback
from functools import cache
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.results.declare import Result

PACKAGE = "tokenspectrum.results"


@cache
def results() -> dict[str, Result]:
    """Name -> declaration of each folder of results/ whose `__init__.py` has a RESULT, by name.

    UserError of one line where one cannot be read: every command reads them all.
    """
    folder = Path(__file__).parent
    found = {}
    for path in sorted(folder.glob("*/__init__.py")):
        try:
            module = importlib.import_module(f"{PACKAGE}.{path.parent.name}")
        except Exception as e:  # whatever a file of the user's may raise
            raise UserError(_why(e, path)) from e
        if hasattr(module, "RESULT"):
            found[path.parent.name] = module.RESULT
    return found


def _why(e: Exception, path: Path) -> str:
    """`FILE:LINE: what`, the last line of the traceback, with the line of the declaration that led to it."""
    lines = [frame.lineno for frame in traceback.extract_tb(e.__traceback__) if frame.filename == str(path)]
    line = e.lineno if isinstance(e, SyntaxError) else lines[-1] if lines else None
    what = str(e) if isinstance(e, ValueError) else f"{type(e).__name__}: {e}"
    return f"{os.path.relpath(path)}{f':{line}' if line else ''}: {' '.join(what.split())}"
