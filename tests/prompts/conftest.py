"""The published files, where this machine has them: TOKENSPECTRUM_DATA, else shared/data beside the repository."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with benchmarks/ and train/; without it the test is skipped, and says so."""
    folder = Path(os.environ.get("TOKENSPECTRUM_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "benchmarks").is_dir():
        pytest.skip(f"NOT CHECKED ON REAL DATA: {folder} has no benchmarks/; set TOKENSPECTRUM_DATA to the folder")
    return folder
