"""Training jobs under Slurm are cancelled, requeued, warned, and lose their node.  As root, on a Slurm of its own.

The trials are those of slurm_kills.py, whose CSV has their points in columns.
"""

from collections.abc import Iterator
from pathlib import Path

from slurm_kills import trials
from slurm_kit import obstacle

from hazards.project import Row


def slurm_kills(folder: Path, count: int, seed: int) -> Iterator[Row]:
    """`count` trials with a kill of every kind; one row that says why, where no Slurm can be started."""
    if why := obstacle():
        yield Row("kill under Slurm", "none", seed, f"not tried: {why}", 0)
        return
    folder.mkdir()
    for rows in trials(folder, count, seed):
        for row in rows:
            differ = row["files_that_differ"]
            outcome = "goes on, same bytes" if not differ else f"{differ} of {row['files']} files have other bytes"
            where = f"{row['stage']}, {row['kind']} at step {row['step']}"
            yield Row("kill under Slurm", where, int(str(row["seed"])), outcome, int(bool(differ)))
