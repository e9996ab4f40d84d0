"""The policies that a training run kept, by step.  Knows how a run's policy folder names its steps."""

import re
from collections.abc import Sequence
from pathlib import Path

from tokenspectrum.errors import UserError


def kept_policies(root: Path) -> dict[int, Path]:
    """Step -> folder, ascending, of every policy in `root`.  UserError if there is none."""
    folders = root.iterdir() if root.is_dir() else ()
    kept = {int(m.group(1)): folder for folder in folders if (m := re.fullmatch(r"step=(\d+)", folder.name))}
    if not kept:
        raise UserError(f"{root}: no policy step=<NNNNN> in it; run the train stage")
    return dict(sorted(kept.items()))


def chosen_policies(root: Path, steps: Sequence[int | str], asked: str = "evaluate.steps") -> list[tuple[int, Path]]:
    """(step, folder) of the steps that `asked` names, ascending, each once.  UserError if a step was not kept."""
    kept = kept_policies(root)
    wanted = {max(kept) if step == "final" else int(step) for step in steps}
    if missing := sorted(wanted - kept.keys()):
        have = ", ".join(map(str, kept))
        raise UserError(f"{asked}: step {missing[0]} is not in {root}, which has {have}; add it to train.keep_steps")
    return [(step, kept[step]) for step in sorted(wanted)]
