r"""The strict verifier: the last \boxed{} of a response against the gold answer, by string match after normalisation.

Only \boxed{...} counts: spaces before the brace are allowed, \fbox and \framebox are not, as the prompt asks for
\boxed{}.  Braces balance as LaTeX reads them, so \{ and \} do not count.  The last box is the one that opens last among
those that close; one cut off by the length limit is no answer.  Knows no tokenizer and no length.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tokenspectrum.reward.gold import Gold, decode_gold
from tokenspectrum.reward.normalise import normalise, plain_text, split_answers

REWARD_UNBOXED, REWARD_WRONG, REWARD_RIGHT = -2.0, -1.0, 1.0

# Published sources in which every answer is an integer: 025 equals 25 there, and nowhere else.
INTEGER_SOURCES = frozenset({"aime24", "aime_1983_2023", "dapo_math_17k"})

_PIECE = re.compile(r"\\+boxed\s*\{|\\.|[{}]", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Verdict:
    """What the verifier saw: the last boxed answer (None without one), whether it is right, and the reward for that."""

    answer: str | None
    correct: bool
    reward_raw: float


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{...} that closes, None without one; one pass, however many boxes stay open."""
    if "\\boxed" not in text:
        return None
    open_at: list[tuple[int, int] | None] = []  # (start of the macro, start of its content) of a box, None of a brace
    last, content = -1, None
    for piece in _PIECE.finditer(text):
        token = piece.group()
        if token == "{":
            open_at.append(None)
        elif token == "}":
            box = open_at.pop() if open_at else None
            if box is not None and box[0] > last:
                last, content = box[0], text[box[1] : piece.start()]
        elif token.endswith("{") and len(token) > 2:
            open_at.append((piece.start(), piece.end()))
    return content


def _within(tolerance: float) -> Callable[[str, str], bool]:
    """Equality of two normalised answers: the same string, or two plain decimals at most `tolerance` apart."""

    def same(a: str, b: str) -> bool:
        numbers = _NUMBER.fullmatch(a) and _NUMBER.fullmatch(b)
        # A hair of slack: 4.3 - 4.2 is not 0.1 in binary.
        return a == b or bool(numbers and abs(float(a) - float(b)) <= tolerance * (1 + 1e-9))

    return same


def _without_unit(answer: str, unit: str) -> str:
    """`answer` as plain text without `unit` (or its plural) at its end."""
    return re.sub(rf"\s*{re.escape(plain_text(unit))}s?\s*\.?$", "", plain_text(answer))


def matches(answer: str, gold: Gold, integer: bool) -> bool:
    """Whether `answer` says what `gold` demands: each of its answers once, in any order, in its unit or none."""
    given = split_answers(answer) if len(gold.answers) > 1 else [answer]
    if gold.unit is not None:
        given = [_without_unit(part, gold.unit) for part in given]
    left = [normalise(part, integer) for part in given]
    wanted = [normalise(part, integer) for part in gold.answers]
    if len(left) != len(wanted) or "" in left:
        return False
    same = str.__eq__ if gold.tolerance is None else _within(gold.tolerance)
    for part in wanted:
        found = next((i for i, candidate in enumerate(left) if same(part, candidate)), None)
        if found is None:
            return False
        del left[found]
    return True


def verify(
    text: str, ground_truth: str, data_source: str, integer_sources: Collection[str] = INTEGER_SOURCES
) -> Verdict:
    r"""-2 without a \boxed{}, -1 for a wrong last box, +1 for a right one; `ground_truth` is as in reward/gold.py."""
    answer = last_boxed(text)
    if answer is None:
        return Verdict(None, False, REWARD_UNBOXED)
    correct = matches(answer, decode_gold(ground_truth), data_source in integer_sources)
    return Verdict(answer, correct, REWARD_RIGHT if correct else REWARD_WRONG)
