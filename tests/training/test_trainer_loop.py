"""The loop: same bytes from the same seed, what each knob of the token log does, and what stops a run."""

import hashlib
from pathlib import Path

from tokenspectrum.training.local import train


def tree(root: Path) -> dict[str, str]:
    """Every file under `root` by its sha256."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bytes(make_job):
    first, second, other = make_job("a"), make_job("b"), make_job("c", seed=2)
    for job in (first, second, other):
        train(job)
    assert tree(first.out) == tree(second.out)
    assert (
        tree(first.out)["policy/step=00004/model.safetensors"] != tree(other.out)["policy/step=00004/model.safetensors"]
    )
