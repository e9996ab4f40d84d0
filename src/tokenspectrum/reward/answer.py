r"""An answer as its parts: each a normalised value, with the unit and the variable that it names.

`x = 2\text{ cm or }x = 3\text{ cm}` has the parts 2 and 3, both of x and in cm.  A unit or a variable may be left out.
Where gold and answer both name one, it must be the same: 5 m is not 5 km, and y = 3 is another line than x = 3.
Knows no box and no reward.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from tokenspectrum.reward.normalise import (
    GREEK,
    LIST_STEPS,
    MAX_CHARACTERS,
    PART_STEPS,
    drop_leading_zeros,
    run,
    split_top,
)
from tokenspectrum.reward.units import split_unit

# A macro is a name only if it is a letter: \neq=7 and \not=7 are no 7.
_NAME = rf"(?:[A-Za-z]|[A-Z]{{2}}|{GREEK})(?:_\{{(?:[A-Za-z]+|\d+|{GREEK})\}})?(?:\([A-Za-z]\))?"
_NAMED = re.compile(rf"({_NAME})(?:=|\\in(?![A-Za-z]))([^=]+)")
_NAMED_TUPLE = re.compile(rf"(\((?:[A-Za-z]|{GREEK})(?:, (?:[A-Za-z]|{GREEK}))+\))=([^=]+)")
_INDEXED = re.compile(r"([A-Za-z])_\{(\d{1,3})\}")
# Coordinates whose order is agreed on, though it is not the alphabet's.
_POLAR = (["r", "\\theta"], ["r", "\\theta", "z"], ["\\rho", "\\theta", "\\phi"])
_SET = re.compile(rf"\s*(?:{_NAME}\s*(?:=|\\in(?![A-Za-z])))?\s*\\\{{(.*)\\\}}\s*\.?\s*", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """One value of an answer; `unit` and `variable` are None where it names none."""

    value: str
    unit: str | None = None
    variable: str | None = None


def _split_variable(value: str) -> tuple[str, str | None]:
    r"""x=3 -> 3 of x, f(x)=2x -> 2x of f(x), x\in[1, 2], (x, y)=(1, 2); an equation in more than a name stays."""
    match = _NAMED.fullmatch(value)
    if match is not None:
        return match.group(2), match.group(1)
    match = _NAMED_TUPLE.fullmatch(value)
    if match is not None:
        names = match.group(1)[1:-1].split(", ")
        # (y, x)=(1, 2) is the point (2, 1).
        if names in _POLAR or all(a < b for a, b in pairwise(names)):
            return match.group(2), match.group(1)
    return value, None


def _part(text: str, integer: bool, own: str | None, gold: bool) -> Part:
    bare, unit = split_unit(text, own, gold) if len(text) <= MAX_CHARACTERS else (text, None)
    value, variable = _split_variable(run(PART_STEPS, bare))
    value = run(PART_STEPS, value) if variable is not None else value
    return Part(drop_leading_zeros(value) if integer else value, unit, variable)


def _read(answer: str, integer: bool, own: str | None, gold: bool, members: bool) -> tuple[Part, ...]:
    text = run(LIST_STEPS, answer)
    if members:
        inner = _SET.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
        if inner is not None and "\\{" not in inner.group(1) and "\\}" not in inner.group(1):
            text = inner.group(1)
    pieces = split_top(text) if len(text) <= MAX_CHARACTERS else [text]
    return tuple(_part(piece, integer, own, gold) for piece in pieces)


_read_short = lru_cache(maxsize=65536)(_read)


def read(
    answer: str, integer: bool = False, own: str | None = None, gold: bool = False, members: bool = False
) -> tuple[Part, ...]:
    r"""The parts of `answer`, in order.

    `integer` drops leading zeros.  `own` is the unit of the gold, `gold` says that this is the gold (units.py).
    `members` reads the set \{1, 2\} as its members.
    """
    # Blanks are not what makes an answer long.
    answer = " ".join(answer.split())
    # What a policy runs on with must not fill the memory.
    return (_read_short if len(answer) <= MAX_CHARACTERS else _read)(answer, integer, own, gold, members)


def normalise(answer: str, integer: bool = False) -> str:
    """`answer` in its one spelling, without units and names: the values of its parts."""
    return ", ".join(part.value for part in read(answer, integer))


def split_answers(answer: str) -> list[str]:
    r"""The members of `1, (2,3) \text{ and } 4` or `\{1, 2\}` as they are spelled, split outside brackets."""
    text = run(LIST_STEPS, answer)
    inner = _SET.fullmatch(text)
    return [part.strip() for part in split_top(inner.group(1) if inner else text)]


def named_alike(given: list[Part], wanted: list[Part]) -> bool:
    """Whether the variables of `given` say no more than the gold's do.

    A name that the gold has too is compared part by part.  Where the gold has none, all given names are one, or x_1,
    x_2, ... in their order: from x=2, y=3 no order of 2 and 3 follows.
    """
    names = [part.variable for part in given if part.variable is not None]
    if len(set(names)) <= 1 or any(part.variable is not None for part in wanted):
        return True
    indexed = [match for name in names if (match := _INDEXED.fullmatch(name)) is not None]
    same = len(indexed) == len(names) and len({match.group(1) for match in indexed}) == 1
    return same and all(int(a.group(2)) < int(b.group(2)) for a, b in pairwise(indexed))


def agrees(given: Part, wanted: Part) -> bool:
    """Whether unit and variable of `given` are left out, or the gold's; a known unit may stand where it has none."""
    units = given.unit is None or wanted.unit is None or given.unit == wanted.unit
    return units and (given.variable is None or wanted.variable is None or given.variable == wanted.variable)
