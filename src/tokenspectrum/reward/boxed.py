r"""The strict verifier: the last \boxed{} of a response against the gold answer, by string match after normalisation.

Only \boxed{...} counts, since the prompt asks for it: \fbox and \framebox do not.  Spaces may stand before the brace.
Braces balance as LaTeX reads them, so \{ and \} do not count.  The last box is the one that closes last: a box within
a box is a part of its answer, so \boxed{8 or \boxed{7}} says 8 or 7.  A box that the length limit cut off is no answer.
Knows no tokenizer and no length.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import lru_cache

from tokenspectrum.reward.answer import Part, agrees, named_alike, read
from tokenspectrum.reward.gold import Gold, decode_gold
from tokenspectrum.reward.gym import score
from tokenspectrum.reward.units import own_name, split_unit, unit_name

REWARD_UNBOXED, REWARD_WRONG, REWARD_RIGHT = -2.0, -1.0, 1.0

# Published sources in which every answer is an integer: 025 equals 25 there, and nowhere else.
INTEGER_SOURCES = frozenset({"aime24", "aime_1983_2023", "dapo_math_17k"})

# A run of backslashes is one piece, read once: of an odd number the last escapes the sign behind it.
_PIECE = re.compile(r"(?P<run>\\++)(?P<box>boxed\s*+\{)?|(?P<open>\{)|\}")
_INNER = re.compile(r"\\boxed\s*+\{")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Verdict:
    """What the verifier saw: the last boxed answer (None without one), whether it is right, and the reward for that."""

    answer: str | None
    correct: bool
    reward_raw: float


def last_boxed(text: str) -> str | None:
    r"""The content of the \boxed{...} that closes last, with \boxed taken off in it; None without one."""
    span = last_span(text)
    return None if span is None else _INNER.sub("{", text[slice(*span)])


def last_span(text: str) -> tuple[int, int] | None:
    """Where that content stands: [start, end) in the text.  One pass, however many boxes stay open."""
    if "\\boxed" not in text:
        return None
    open_at: list[tuple[int, int] | None] = []  # (start of the macro, start of its content) of a box, None of a brace
    found: tuple[int, int] | None = None
    around = (0, 0)  # the box found, with the boxes that hold nothing else
    escaped = -1
    for piece in _PIECE.finditer(text):
        kind, start = piece.lastgroup, piece.start()
        if kind == "box":
            open_at.append((start, piece.end()))
        elif kind == "run":
            escaped = piece.end() if (piece.end() - start) % 2 else -1
        elif start == escaped:
            continue
        elif kind == "open":
            open_at.append(None)
        elif open_at and (box := open_at.pop()) is not None:
            if (
                found is None
                or text[box[1] : around[0]].strip()
                or text[around[1] : start].strip()
                or box[0] > around[0]
            ):
                found = (box[1], start)
            around = (box[0], start + 1)
    return found


def _within(tolerance: float) -> Callable[[str, str], bool]:
    """Equality of two normalised answers: the same string, or two plain decimals at most `tolerance` apart."""

    def same(a: str, b: str) -> bool:
        numbers = _NUMBER.fullmatch(a) and _NUMBER.fullmatch(b)
        # A hair of slack: 4.3 - 4.2 is not 0.1 in binary.
        return a == b or bool(numbers and abs(float(a) - float(b)) <= tolerance * (1 + 1e-9))

    return same


def _unit_of(unit: str | None) -> str | None:
    """The name of the unit that a gold is published with: a known one, or its own."""
    if unit is None:
        return None
    plain = unit.replace("$", "").strip()
    known = unit_name(plain) or split_unit(f"1{plain}")[1]
    return known or own_name(plain) or "own " + plain.lower()


@lru_cache(maxsize=65536)
def _wanted(gold: Gold, integer: bool) -> tuple[tuple[Part, ...], str | None]:
    """The parts that `gold` demands, and the name of its unit."""
    parts = [part for answer in gold.answers for part in read(answer, integer, gold=True)]
    unit = _unit_of(gold.unit)
    if unit is not None:
        parts = [replace(part, unit=unit) for part in parts]
    units = {part.unit for part in parts}
    return tuple(parts), next(iter(units)) if len(units) == 1 else None


def matches(answer: str, gold: Gold, integer: bool) -> bool:
    """Whether `answer` says what `gold` demands.

    Each of several answers once and in any order; the parts of a single one in theirs; each in the gold's unit or none.
    """
    wanted, unit = _wanted(gold, integer)
    several = len(gold.answers) > 1
    given = list(read(answer, integer, own=unit, members=several))
    if len(given) != len(wanted) or any(not part.value for part in given) or not named_alike(given, list(wanted)):
        return False
    same = str.__eq__ if gold.tolerance is None else _within(gold.tolerance)
    for part in wanted:
        places = range(len(given)) if several else range(1)
        found = next((i for i in places if same(part.value, given[i].value) and agrees(given[i], part)), None)
        if found is None:
            return False
        del given[found]
    return True


def share(answer: str, ground_truth: str, integer: bool) -> float:
    """1 for a right answer, 0 for a wrong one; for a task of reasoning-gym its own score, 0 to 1."""
    gold = decode_gold(ground_truth)
    if gold.gym is not None:
        return score(gold.gym, answer, gold.answers[0])
    return float(matches(answer, gold, integer))


def verify(
    text: str, ground_truth: str, data_source: str, integer_sources: Collection[str] = INTEGER_SOURCES
) -> Verdict:
    r"""-2 without a \boxed{}, -1 for a wrong last box, +1 for a right one; `ground_truth` is as in reward/gold.py.

    A score of reasoning-gym between 0 and 1 earns a reward between -1 and +1.
    """
    answer = last_boxed(text)
    if answer is None:
        return Verdict(None, False, REWARD_UNBOXED)
    found = share(answer, ground_truth, data_source in integer_sources)
    return Verdict(answer, found == 1, REWARD_WRONG + found * (REWARD_RIGHT - REWARD_WRONG))
