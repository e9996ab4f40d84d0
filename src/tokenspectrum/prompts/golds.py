"""Golds that no answer can match, and problems whose golds contradict one another.

Both spoil a training run without a word: such a problem earns a wrong answer's reward whatever the policy says.
Knows no files.
"""

import re
from collections.abc import Sequence

from tokenspectrum.prompts.problem import Problem
from tokenspectrum.reward.boxed import matches, verify
from tokenspectrum.reward.gold import decode_gold

# What a gold holds that is still wrapped in its solution, and what to do about it.
_WRAPPED = (
    (re.compile(r"####"), "holds ####; `columns: {gold: hashes}` takes what is behind it"),
    (re.compile(r"\\(?:boxed|fbox|framebox)(?![A-Za-z])"), "holds a box; `columns: {gold: boxed}` takes what is in it"),
    (re.compile(r"<<[^<>]*>>"), "holds a calculator's notes, << >>"),
    (re.compile(r"(?i)\banswer(?: is|:)"), "is a sentence about the answer"),
    (re.compile(r"(?i)\A\s*(?:nan|none|null|n/?a|-+|\?+)\s*\Z"), "says that there is none"),
)


def doubt(problem: Problem) -> str | None:
    """Why no answer can be expected to match the problem's gold; None where the gold itself does."""
    gold = ", ".join(decode_gold(problem.answer).answers)
    for pattern, why in _WRAPPED:
        if pattern.search(gold):
            return why
    if not verify(f"\\boxed{{{gold}}}", problem.answer, problem.data_source).correct:
        return "does not match itself in a box"
    return None


def contradicts(one: Problem, other: Problem) -> bool:
    """Whether two golds of the same problem refuse one another."""
    first, second = decode_gold(one.answer), decode_gold(other.answer)
    # 012 is 12: a difference of zeros is the sources', not the problem's.
    return not (matches(", ".join(first.answers), second, True) or matches(", ".join(second.answers), first, True))


def doubts(problems: Sequence[Problem]) -> list[str]:
    """A line for each problem whose gold is in doubt: where it is, the gold, and why."""
    found = ((problem, doubt(problem)) for problem in problems)
    return [f"{p.where or p.prompt_id}: the gold {p.answer!r:.80} {why}" for p, why in found if why is not None]


def contradiction(kept: Problem, other: Problem) -> str:
    """The line about two rows of one problem whose golds refuse one another."""
    return f"{other.where}: the gold {other.answer!r:.60}, but {kept.where}, the same problem, has {kept.answer!r:.60}"
