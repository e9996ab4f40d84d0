"""A folder that is written whole or not at all.  Knows no content."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[None]:
    """Make `folder`, which is empty or not there.  If the block fails, what it wrote goes again."""
    there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not there:
            folder.rmdir()
        raise
