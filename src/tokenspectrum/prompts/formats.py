"""What a file's columns mean: a problem from each row, by the names of its columns.

Most published files are such a list of names (FORMATS), as is a file of one's own (`columns` in the params).  A parser
returns None for a row to leave out: a training problem that was published without its answer.
Knows no paths.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.params.prompts import Columns, GoldForm
from tokenspectrum.prompts.chats import problem_of
from tokenspectrum.prompts.olympiadbench import parse_olympiadbench
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.prompts.row import Row
from tokenspectrum.reward.boxed import last_boxed
from tokenspectrum.reward.gold import decode_gold
from tokenspectrum.reward.gym import find

_UNBRACED_BOX = re.compile(r"\\boxed\s+([^\s${}]+)")

Parser = Callable[[Row, str], Problem | None]
Names = tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """The columns of a file.  Where there are several names, the first that a row has counts.

    problem: the text, or the chat that holds it; `chat` demands a chat.
    answer: the gold, in the form `gold`.  Rows without one take the gold of the published `solution`.
    data_source: what the row says it is from; None where the format or the dataset says it.
    facts: further facts by their new name; `facts_of` is a column whose texts and numbers are all facts.
    required: columns that every row must have, be they null.
    unanswered: "left out" for rows whose gold is null or empty, "refused" where each must have one.
    """

    problem: Names = ("problem",)
    answer: str = "answer"
    gold: GoldForm = "whole"
    solution: str | None = None
    level: Names = ()
    data_source: str | None = None
    facts: dict[str, Names] = field(default_factory=dict)
    facts_of: str | None = None
    chat: bool = False
    required: Names = ()
    unanswered: str = "refused"


def layout_of(columns: Columns) -> Layout:
    """The layout that the params name: these columns and no others."""
    named = tuple(name for name in (columns.level, columns.id, columns.data_source) if name is not None)
    return Layout(
        problem=(columns.problem,),
        answer=columns.answer,
        gold=columns.gold,
        level=() if columns.level is None else (columns.level,),
        data_source=columns.data_source,
        facts={} if columns.id is None else {"id": (columns.id,)},
        required=named,
    )


def solution_answer(solution: str) -> str | None:
    r"""The gold in a published solution: its last \boxed{}, \fbox{} or \framebox{}, else its last `\boxed 2`."""
    boxed = last_boxed(re.sub(r"\\(?:fbox|framebox)(?=\s*\{)", r"\\boxed", solution))
    if boxed is not None:
        return boxed.strip()
    unbraced = _UNBRACED_BOX.findall(solution)
    return unbraced[-1].rstrip(".,") if unbraced else None


def _boxed(row: Row, name: str) -> str:
    answer = solution_answer(row.text(name))
    if not answer:
        raise row.error(name, "holds no \\boxed{} answer")
    return answer


def _behind_hashes(row: Row, name: str) -> str:
    """GSM8K's form: the working, then `#### 7`."""
    _, found, answer = row.text(name).rpartition("####")
    if not found or not answer.strip():
        raise row.error(name, "holds no answer behind ####")
    return answer.strip()


def _answer(row: Row, layout: Layout) -> str:
    """The gold answer of a row."""
    name = layout.answer
    value = row.value(name)
    if value is None and layout.solution is not None:
        if row.value(layout.solution) is None:
            raise row.missing(name, f"missing, and so is {layout.solution!r}")
        return _boxed(row, layout.solution)
    if type(value) in (int, float, Decimal):
        return _number(row, name, value)
    match layout.gold:
        case "boxed":
            return _boxed(row, name)
        case "hashes":
            return _behind_hashes(row, name)
    return row.text(name)


def _number(row: Row, name: str, value: int | float | Decimal) -> str:
    """A number as a person writes it: 3 for 3.0, 10000000000000000 for 1e16."""
    if not math.isfinite(value):
        raise row.error(name, f"is {value}, which is no answer; give the row one, or take the row out")
    if value == int(value):
        return str(int(value))
    return f"{Decimal(str(value)).normalize():f}"


def _level(row: Row, names: Names) -> dict[str, Any]:
    """Level 3, 3 and 3.0 are level 3; MATH's problems of unknown level are level 0; what is no level stays as it is.

    Only `levels` reads it (choose.py), and complains there.
    """
    value = row.value(row.first(*names)) if names else None
    if value is None or value != value:  # NaN: a table's way to say null
        return {}
    digits = re.fullmatch(r"(?:[Ll]evel )?\s*(\d{1,9})(?:\.0+)?", str(value).strip())
    if digits is not None:
        return {"level": int(digits.group(1))}
    if value == "Level ?":
        return {"level": 0}
    return {"level": value if isinstance(value, int | float) else str(value)}


def _facts(row: Row, layout: Layout) -> dict[str, Any]:
    """The row's index and the facts that it has."""
    found = {new: row.value(row.first(*names)) for new, names in layout.facts.items()}
    members = row.value(layout.facts_of) if layout.facts_of is not None else None
    if isinstance(members, dict):
        own = ("index", "split", "problem", "meta")
        found |= {k: v for k, v in members.items() if isinstance(v, str | int | float) and k not in own}
    return {"index": row.index} | {new: value for new, value in found.items() if value is not None}


def _unanswered(row: Row, layout: Layout) -> bool:
    """Whether a row was published without its gold; a row that lacks the column is a mistake instead."""
    blank = row.has(layout.answer) and row.value(layout.answer) in (None, "")
    return blank and row.value(layout.solution) is None


def parse_columns(layout: Layout, row: Row, data_source: str) -> Problem | None:
    """The problem that `layout` finds in `row`; `data_source` is its source where the row does not say it."""
    for name in layout.required:
        if not row.has(name):
            raise row.missing(name)
    if layout.unanswered == "left out" and _unanswered(row, layout):
        return None
    text, system = problem_of(row, row.first(*layout.problem), layout.chat)
    if layout.data_source is not None and row.value(layout.data_source) is not None:
        data_source = row.text(layout.data_source)
    facts = _facts(row, layout) | system | _level(row, layout.level)
    return Problem(data_source, text, _answer(row, layout), facts, row.place)


def parse_aime(layout: Layout, row: Row, data_source: str) -> Problem:
    """AIME: an answer is an integer from 0 to 999."""
    problem = parse_columns(layout, row, data_source)
    if problem is None:  # a layout that leaves rows out is not AIME's
        raise row.missing(layout.answer)
    if not re.fullmatch(r"\d{1,3}", problem.answer):
        raise row.error("answer", f"an AIME answer is an integer from 0 to 999, found {problem.answer!r:.40}")
    return problem


def parse_dapo_math(layout: Layout, row: Row, data_source: str) -> Problem | None:
    """DAPO-Math-17k in verl's schema, alone or mixed with others; its editions name their source differently."""
    problem = parse_columns(layout, row, data_source)
    if problem is None or problem.data_source not in ("dapo_math", "math_dapo"):
        return problem
    return replace(problem, data_source="dapo_math_17k")


_LEVELS = ("level", "difficulty")
_MATH: dict[str, Any] = {
    "solution": "solution",
    "level": _LEVELS,
    "facts": {"id": ("unique_id",), "subject": ("type", "subject")},
}
_AIME = Layout(
    solution="solution",
    facts={"id": ("id",), "year": ("year",), "contest": ("aime_number",), "number": ("problem_number",)},
)
_VERL: dict[str, Any] = {
    "problem": ("prompt",),
    "answer": "reward_model.ground_truth",
    "data_source": "data_source",
    "facts_of": "extra_info",
    "level": ("extra_info.level", "extra_info.difficulty"),
    "chat": True,
    "required": ("data_source",),
}
_SIMPLE = Layout(
    problem=("problem", "question"),
    solution="solution",
    level=_LEVELS,
    data_source="data_source",
    facts={"id": ("id",), "subject": ("subject",)},
)

# Format of the params -> (its parser, the data source of its problems; None where the rows or the params say it).
FORMATS: dict[str, tuple[Parser, str | None]] = {
    "aime24": (partial(parse_aime, _AIME), "aime24"),
    "aime_1983_2023": (partial(parse_aime, _AIME), "aime_1983_2023"),
    "dapo_math": (partial(parse_dapo_math, Layout(**_VERL, unanswered="left out")), None),
    "gsm8k": (partial(parse_columns, Layout(problem=("question",), gold="hashes")), "gsm8k"),
    "math": (partial(parse_columns, Layout(**_MATH)), "math"),
    "math500": (partial(parse_columns, Layout(**_MATH)), "math500"),
    "math_train": (partial(parse_columns, Layout(**_MATH, unanswered="left out")), "math_train"),
    "minerva_math": (partial(parse_columns, Layout(solution="solution", facts={"course": ("type",)})), "minerva_math"),
    "olympiadbench": (parse_olympiadbench, "olympiadbench"),
    "simple": (partial(parse_columns, _SIMPLE), None),
    "verl": (partial(parse_columns, Layout(**_VERL)), None),
}


def parse(row: Row, format_name: str, dataset: str, columns: Columns | None = None) -> Problem | None:
    """The problem in `row`; `dataset` names the data source where neither format nor row does.

    `columns` are the file's own names; None takes those of the format.
    """
    if columns is not None:
        problem = parse_columns(layout_of(columns), row, dataset)
    else:
        parser, data_source = FORMATS[format_name]
        problem = parser(row, data_source or dataset)
    if problem is not None:
        _check_gold(row, problem.answer)
    return problem


def _check_gold(row: Row, answer: str) -> None:
    try:
        gold = decode_gold(answer)
    except (ValueError, RecursionError) as e:
        raise UserError(f"{row.where}: the gold begins like JSON of several answers, but is not ({e})") from None
    if gold.gym is not None:
        try:
            find(gold.gym, gold.answers[0])
        except UserError as e:
            raise UserError(f"{row.where}: the gold's task: {e}") from None
