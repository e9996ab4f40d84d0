r"""Does the verifier agree with a published benchmark about itself?

The published gold of a problem is the last \boxed{} of its solution, or its final_answer.  It must be accepted.  The
golds of other problems must be refused if they are different.  Whether they are, math-verify says.
Knows nothing of training; no stage imports it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenspectrum.prompts.files import read_rows
from tokenspectrum.prompts.formats import parse
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.prompts.row import Row
from tokenspectrum.reward.alternative import math_verify_correct
from tokenspectrum.reward.boxed import last_boxed, verify

# How far away the other problems stand: enough pairs to meet every kind of answer, few enough for a test.
STRIDES = (1, 2, 3, 5, 8, 13, 21, 34)


@dataclass(frozen=True)
class SelfCheck:
    """What a check of `problems` problems found.

    refused: ids of problems whose own gold is refused.
    accepted: (id, id of the other) of problems that accept another's different gold; `pairs` of them were tried.
    """

    problems: int
    pairs: int
    refused: tuple[str, ...]
    accepted: tuple[tuple[str, str], ...]


def published_gold(row: Row) -> str | None:
    r"""The gold as published: final_answer where the row has one, else the last \boxed{} of its solution."""
    finals: Any = row.values.get("final_answer")
    return ", ".join(finals) if finals else last_boxed(row.text("solution"))


def problem_id(problem: Problem) -> str:
    """The problem's own id in its file, else its place there."""
    return str(problem.extra.get("id", problem.extra["index"]))


def self_check(path: Path, format_name: str) -> SelfCheck:
    """Check every problem of a published benchmark file."""
    parsed = [(parse(row, format_name, format_name), published_gold(row)) for row in read_rows(path)]
    kept = [(problem, gold) for problem, gold in parsed if problem is not None]
    refused, accepted, pairs = [], [], 0
    for i, (problem, gold) in enumerate(kept):
        if gold is None or not _accepts(problem, gold):
            refused.append(problem_id(problem))
        for stride in STRIDES:
            other, foreign = kept[(i + stride) % len(kept)]
            if foreign is None or _squeezed(foreign) == _squeezed(gold or problem.answer):
                continue
            pairs += 1
            # math-verify is slow, so it is asked only about what the strict verifier lets pass.
            if _accepts(problem, foreign) and not math_verify_correct(_response(foreign), problem.answer):
                accepted.append((problem_id(problem), problem_id(other)))
    return SelfCheck(len(kept), pairs, tuple(refused), tuple(accepted))


def _squeezed(gold: str) -> str:
    return "".join(gold.split())


def _response(gold: str) -> str:
    return f"Hence the answer is \\boxed{{{gold}}}."


def _accepts(problem: Problem, gold: str) -> bool:
    return verify(_response(gold), problem.answer, problem.data_source).correct
