"""What a request asks for, read strictly from its query string: filters, order, page and brush.  Knows no SQL."""

import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from starlette.datastructures import QueryParams

from tokenspectrum.errors import UserError

SORTS = ("logged", "reward", "length", "advantage", "step", "hits")
PAGE = 50
Ends = tuple[float | None, float | None]
_NUMBER = r"(-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)?"
_BRUSH = re.compile(rf"{_NUMBER}\.\.{_NUMBER},{_NUMBER}\.\.{_NUMBER}")
_ANSWERS = {"": None, "yes": True, "no": False}


@dataclass(frozen=True)
class Filters:
    """Which responses: an empty value or None lets everything through."""

    runs: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    step_from: int | None = None
    step_to: int | None = None
    source: str = ""
    correct: bool | None = None
    reward_from: float | None = None
    reward_to: float | None = None
    length_from: int | None = None
    length_to: int | None = None
    text: str = ""
    prompt: str = ""

    @property
    def all(self) -> bool:
        return self == Filters()

    def values(self) -> dict[str, Any]:
        return asdict(self) | {"runs": list(self.runs), "seeds": list(self.seeds)}


@dataclass(frozen=True)
class Brush:
    """A rectangle of values of two columns, from and to; an end that is None is open."""

    x: str
    y: str
    x_ends: Ends
    y_ends: Ends


def read_filters(query: QueryParams) -> Filters:
    """The filters of a request; a value that is no number where one is due is a UserError naming it."""
    return Filters(
        runs=tuple(query.getlist("run")),
        seeds=tuple(_numbers("seed", query.getlist("seed"))),
        step_from=_number(query, "step_from", int),
        step_to=_number(query, "step_to", int),
        source=query.get("source", ""),
        correct=_choice(query, "correct", _ANSWERS),
        reward_from=_number(query, "reward_from", float),
        reward_to=_number(query, "reward_to", float),
        length_from=_number(query, "length_from", int),
        length_to=_number(query, "length_to", int),
        text=query.get("text", ""),
        prompt=query.get("prompt", ""),
    )


def read_brush(query: QueryParams) -> Brush | None:
    """`x`, `y` and `brush=from..to,from..to` in their values, or None without one."""
    text = query.get("brush", "")
    if not text:
        return None
    if (match := _BRUSH.fullmatch(text)) is None:
        raise UserError(f"brush: from..to,from..to is wanted, each a number or nothing (got {_short(text)})")
    ends = [float(end) if end else None for end in match.groups()]
    if any(end is not None and math.isinf(end) for end in ends):
        raise UserError(f"brush: a number is too large (got {_short(text)})")
    return Brush(query.get("x", ""), query.get("y", ""), (ends[0], ends[1]), (ends[2], ends[3]))


def read_page(query: QueryParams) -> dict[str, Any]:
    """sort, down, limit and offset."""
    sort = query.get("sort", "logged")
    if sort not in SORTS:
        raise UserError(f"sort: one of {', '.join(SORTS)} is wanted (got {sort!r})")
    limit = _number(query, "limit", int)
    return {
        "sort": sort,
        "down": query.get("down", "") == "1",
        "limit": min(PAGE if limit is None else max(0, limit), 500),
        "offset": max(0, _number(query, "offset", int) or 0),
    }


def read_whole(query: QueryParams, name: str) -> int:
    """A whole number that must be there, as small as those of the tables: 32 bits."""
    value = _number(query, name, int)
    if value is None:
        raise UserError(f"{name}: a whole number is wanted")
    return value


def read_number(name: str, value: str) -> int:
    """A whole number as small as those of the tables."""
    try:
        return _in_range(int(value))
    except ValueError:
        raise UserError(f"{name}: a whole number is wanted (got {_short(value)})") from None


def _numbers(name: str, values: Iterable[str]) -> Iterable[int]:
    return (read_number(name, value) for value in values)


def _number(query: QueryParams, name: str, kind: type) -> Any:
    text = query.get(name, "")
    try:
        value = kind(text) if text else None
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(value)
        return _in_range(value) if isinstance(value, int) else value
    except ValueError:
        raise UserError(f"{name}: a number is wanted (got {_short(text)})") from None


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _in_range(value: int) -> int:
    if abs(value) >= 2**31:
        raise ValueError(value)
    return value


def _choice(query: QueryParams, name: str, choices: dict[str, Any]) -> Any:
    value = query.get(name, "")
    if value not in choices:
        raise UserError(f"{name}: one of {', '.join(c for c in choices if c)} is wanted (got {value!r})")
    return choices[value]
