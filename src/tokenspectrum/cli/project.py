"""Where the project is: the nearest folder upwards with a dvc.yaml.  Its `workflow` package is found there."""

import os
import sys
from pathlib import Path

from tokenspectrum.errors import UserError


def enter_project() -> Path:
    """Change into the project's root, make its `workflow` package importable, and return the root."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() and (folder / "workflow").is_dir():
            os.chdir(folder)
            if str(folder) not in sys.path:
                sys.path.insert(0, str(folder))
            return folder
    raise UserError(f"{here}: no dvc.yaml here or above; run spectrum inside a Tokenspectrum project")
