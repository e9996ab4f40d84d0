"""Where the project is: the nearest folder upwards with a dvc.yaml."""

import os
from pathlib import Path

from tokenspectrum.errors import UserError


def enter_project() -> Path:
    """Change into the project's root and return it."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            os.chdir(folder)
            return folder
    raise UserError(f"{here}: no dvc.yaml here or above; run spectrum inside a Tokenspectrum project")
