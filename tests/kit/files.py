"""What a folder holds, to compare one run's output with another's."""

import hashlib
from pathlib import Path


def tree(root: Path) -> dict[str, str]:
    """Every file under `root` by its sha256."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
