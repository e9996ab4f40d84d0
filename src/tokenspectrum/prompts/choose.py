"""Which problems of a dataset are taken: by level, and by a hash, which does not depend on their order.

Knows no files.
"""

import hashlib
from collections.abc import Sequence

from tokenspectrum.errors import UserError
from tokenspectrum.params.prompts import Dataset
from tokenspectrum.prompts.problem import Problem


def of_levels(problems: Sequence[Problem], levels: Sequence[int] | None, dataset: str) -> list[Problem]:
    """The problems of the given levels of difficulty; all of them for None."""
    if levels is None:
        return list(problems)
    for problem in problems:
        if "level" not in problem.extra:
            raise UserError(f"dataset {dataset}: problem {problem.prompt_id} has no level; remove `levels` from it")
        level = problem.extra["level"]
        if type(level) is not int:
            raise UserError(
                f"{problem.where or problem.prompt_id}: level {level!r:.40} is no whole number, such as 3 or Level 3; "
                f"correct it, or remove `levels` from dataset {dataset}"
            )
    kept = [problem for problem in problems if problem.extra["level"] in levels]
    if not kept:
        there = sorted({problem.extra["level"] for problem in problems})
        raise UserError(f"dataset {dataset}: no problem of levels {list(levels)}; it has levels {there}")
    return kept


def _rank(prompt_id: str, seed: int) -> bytes:
    return hashlib.blake2b(f"subset\x1f{seed}\x1f{prompt_id}".encode(), digest_size=8).digest()


def by_hash(problems: Sequence[Problem], dataset: Dataset) -> list[Problem]:
    """At most `limit`, or a `fraction` (rounded, at least one), of the problems, in their order.

    A problem's rank is a hash of the subset seed and its prompt_id: the same problems are chosen wherever they stand,
    and a smaller choice is part of a larger one.
    """
    wanted = len(problems)
    if dataset.limit is not None:
        wanted = dataset.limit
    elif dataset.fraction is not None:
        wanted = max(1, round(dataset.fraction * len(problems)))
    ranked = sorted(problems, key=lambda problem: _rank(problem.prompt_id, dataset.subset_seed))
    chosen = {problem.prompt_id for problem in ranked[:wanted]}
    return [problem for problem in problems if problem.prompt_id in chosen]
