"""What the fields of each published file mean: one small function a format, from a row to a problem.

A function returns None for a row to leave out: OlympiadBench's pictures, proofs, Chinese and physics, and MATH training
problems published without their answer.
Knows no paths and no params.
"""

import re
from collections.abc import Callable
from typing import Any

from tokenspectrum.prompts.files import Row
from tokenspectrum.prompts.problem import Problem
from tokenspectrum.reward.boxed import last_boxed
from tokenspectrum.reward.gold import Gold, encode_gold
from tokenspectrum.reward.normalise import split_answers

# Instructions that published prompts wrap around the problem; this project adds its own, and compares bare problems.
WRAPPERS = (
    (
        "Solve the following math problem step by step. The last line of your response should be of the form "
        "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n",
        '\n\nRemember to put your answer on its own line after "Answer:".',
    ),
    ("", " Let's think step by step and output the final answer within \\boxed{}."),
    ("", "\nPlease reason step by step, and put your final answer within \\boxed{}."),
)
DAPO_SOURCES = ("dapo_math", "math_dapo")
_UNBRACED_BOX = re.compile(r"\\boxed\s+([^\s${}]+)")

Parser = Callable[[Row, str], Problem | None]


def solution_answer(solution: str) -> str | None:
    r"""The gold in a published solution: its last \boxed{}, \fbox{} or \framebox{}, else its last `\boxed 2`."""
    boxed = last_boxed(re.sub(r"\\(?:fbox|framebox)(?=\s*\{)", r"\\boxed", solution))
    if boxed is not None:
        return boxed.strip()
    unbraced = _UNBRACED_BOX.findall(solution)
    return unbraced[-1].rstrip(".,") if unbraced else None


def _answer(row: Row) -> str:
    """The field `answer`, else the gold in `solution`."""
    if row.values.get("answer") is not None:
        value = row.values["answer"]
        return str(value) if type(value) in (int, float) else row.text("answer")
    answer = solution_answer(row.text("solution"))
    if not answer:
        raise row.error("solution", "holds no \\boxed{} answer")
    return answer


def _level(row: Row) -> dict[str, int]:
    """Level 3, 3 and 3.0 are level 3; MATH's two problems of unknown level are level 0."""
    value = row.values.get("level", row.values.get("difficulty"))
    if value is None:
        return {}
    digits = re.fullmatch(r"(?:Level )?(\d+)(?:\.0)?", str(value))
    if digits is None and value != "Level ?":
        raise row.error(
            "level" if "level" in row.values else "difficulty", f"expected Level 1 to 5, found {value!r:.40}"
        )
    return {"level": int(digits.group(1)) if digits else 0}


def _facts(row: Row, **names: str) -> dict[str, Any]:
    """The fields `names` (new name -> field) that the row has, with its index."""
    found = {new: row.values[old] for new, old in names.items() if row.values.get(old) is not None}
    return {"index": row.index, **found}


def parse_math(row: Row, data_source: str) -> Problem:
    """MATH in any edition: problem; solution or answer; level or difficulty; type or subject."""
    facts = _facts(row, id="unique_id", subject="subject") | _facts(row, subject="type")
    return Problem(data_source, row.text("problem"), _answer(row), facts | _level(row))


def parse_math_train(row: Row, data_source: str) -> Problem | None:
    """As parse_math; the published training file has a few rows whose answer is null or empty, of no use here."""
    blank = "answer" in row.values and row.values["answer"] in (None, "") and row.values.get("solution") is None
    return None if blank else parse_math(row, data_source)


def parse_aime(row: Row, data_source: str) -> Problem:
    """AIME: problem, answer (an integer from 0 to 999), and for the old ones year and number."""
    answer = _answer(row)
    if not re.fullmatch(r"\d{1,3}", answer):
        raise row.error("answer", f"an AIME answer is an integer from 0 to 999, found {answer!r:.40}")
    facts = _facts(row, id="id", year="year", contest="aime_number", number="problem_number")
    return Problem(data_source, row.text("problem"), answer, facts)


def parse_minerva_math(row: Row, data_source: str) -> Problem:
    """Minerva: problem, the gold inside the solution, the course as type."""
    return Problem(data_source, row.text("problem"), _answer(row), _facts(row, course="type"))


_ASKED_FOR = {
    "modality": (None, "Text-only"),
    "language": (None, "English"),
    "subject": (None, "Math", "Maths"),
    "question_type": (None, "Open-ended"),
}


def _is_asked_for(row: Row) -> bool:
    """Whether an OlympiadBench row is text-only, English, mathematics, and has an answer rather than a proof."""
    pictures = any(row.values.get(f"image_{i}") is not None for i in range(1, 10))
    return not pictures and all(row.values.get(field) in allowed for field, allowed in _ASKED_FOR.items())


def parse_olympiadbench(row: Row, data_source: str) -> Problem | None:
    """OlympiadBench: question (after its context), final_answer, is_multiple_answer, unit, error (the tolerance)."""
    if not _is_asked_for(row):
        return None
    finals = row.values.get("final_answer")
    if not isinstance(finals, list) or not finals or not all(isinstance(f, str) and f.strip() for f in finals):
        raise row.error("final_answer", f"expected a list of texts, found {finals!r:.60}")
    joined = ", ".join(final.strip() for final in finals)
    several = row.values.get("is_multiple_answer")
    if not isinstance(several, bool):
        raise row.error("is_multiple_answer", f"expected true or false, found {several!r:.40}")
    answers = [part.strip() for part in split_answers(joined)] if several else [joined.replace("$", "").strip()]
    gold = Gold(tuple(answers), _unit(row), _tolerance(row))
    text = row.text("question")
    if row.values.get("context") is not None:
        text = f"{row.text('context')}\n{text}"
    return Problem(data_source, text, encode_gold(gold), _facts(row, id="id", subject="subfield", type="answer_type"))


def _unit(row: Row) -> str | None:
    return None if row.values.get("unit") is None else row.text("unit")


def _tolerance(row: Row) -> float | None:
    if row.values.get("error") is None:
        return None
    try:
        return float(row.values["error"])
    except (TypeError, ValueError):
        raise row.error("error", f"expected a tolerance such as 1e-1, found {row.values['error']!r:.40}") from None


def bare_problem(content: str) -> str:
    """A prompt without the published instruction around it (WRAPPERS)."""
    for before, behind in WRAPPERS:
        if content.startswith(before) and content.endswith(behind):
            return content[len(before) : len(content) - len(behind)].strip()
    return content.strip()


def parse_verl(row: Row, data_source: str) -> Problem:
    """verl's schema: data_source, prompt (one user message, a system one before it), reward_model.ground_truth."""
    prompt = row.values.get("prompt")
    roles = [message.get("role") for message in prompt] if isinstance(prompt, list) else None
    if roles not in (["user"], ["system", "user"]):
        raise row.error(
            "prompt", f"expected one user message, with at most a system one before it; found roles {roles}"
        )
    if not all(isinstance(message.get("content"), str) for message in prompt) or not prompt[-1]["content"].strip():
        raise row.error("prompt", "expected messages with text as content")
    reward = row.values.get("reward_model")
    answer = reward.get("ground_truth") if isinstance(reward, dict) else None
    if not isinstance(answer, str) or not answer.strip():
        raise row.error("reward_model.ground_truth", f"expected text, found {answer!r:.40}")
    given = row.values.get("extra_info")
    scalars = given if isinstance(given, dict) else {}
    own = ("index", "split", "problem", "meta")
    facts = {k: v for k, v in scalars.items() if isinstance(v, str | int | float) and k not in own}
    if len(prompt) == 2:
        facts["system"] = prompt[0]["content"]
    text = bare_problem(prompt[-1]["content"])
    return Problem(row.text("data_source"), text, answer.strip(), {"index": row.index, **facts})


def parse_dapo_math(row: Row, data_source: str) -> Problem | None:
    """DAPO-Math-17k in verl's schema, alone or mixed with others; rows published with an empty gold are left out."""
    reward = row.values.get("reward_model")
    if isinstance(reward, dict) and reward.get("ground_truth") == "":
        return None
    problem = parse_verl(row, data_source)
    source = "dapo_math_17k" if problem.data_source in DAPO_SOURCES else problem.data_source
    return Problem(source, problem.text, problem.answer, problem.extra)


def parse_simple(row: Row, data_source: str) -> Problem:
    """A file of one's own: problem (or question) and answer; optionally solution, level, data_source."""
    text = row.text("problem", "question")
    source = row.text("data_source") if row.values.get("data_source") is not None else data_source
    return Problem(source, text, _answer(row), _facts(row, id="id", subject="subject") | _level(row))


# Format of the params -> (its function, the data source of its problems; None where the rows or the params say it).
FORMATS: dict[str, tuple[Parser, str | None]] = {
    "aime24": (parse_aime, "aime24"),
    "aime_1983_2023": (parse_aime, "aime_1983_2023"),
    "dapo_math": (parse_dapo_math, None),
    "math": (parse_math, "math"),
    "math500": (parse_math, "math500"),
    "math_train": (parse_math_train, "math_train"),
    "minerva_math": (parse_minerva_math, "minerva_math"),
    "olympiadbench": (parse_olympiadbench, "olympiadbench"),
    "simple": (parse_simple, None),
    "verl": (parse_verl, None),
}


def parse(row: Row, format_name: str, dataset: str) -> Problem | None:
    """The problem in `row`; `dataset` names the data source where neither format nor row does."""
    parser, data_source = FORMATS[format_name]
    return parser(row, data_source or dataset)
