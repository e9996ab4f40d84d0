"""OlympiadBench as published: the one format that is more than names of columns.

Pictures, proofs, Chinese and physics are left out; several answers, units and tolerances go into the gold.
Knows no paths and no params.
"""

from typing import Any

from tokenspectrum.prompts.problem import Problem
from tokenspectrum.prompts.row import Row
from tokenspectrum.reward.answer import split_answers
from tokenspectrum.reward.gold import Gold, encode_gold

_FACTS = {"id": "id", "subject": "subfield", "type": "answer_type"}
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
    return Problem(data_source, text, encode_gold(gold), _facts(row), row.place)


def _unit(row: Row) -> str | None:
    return None if row.values.get("unit") is None else row.text("unit")


def _tolerance(row: Row) -> float | None:
    if row.values.get("error") is None:
        return None
    try:
        return float(row.values["error"])
    except (TypeError, ValueError):
        raise row.error("error", f"expected a tolerance such as 1e-1, found {row.values['error']!r:.40}") from None


def _facts(row: Row) -> dict[str, Any]:
    found = {new: row.value(name) for new, name in _FACTS.items()}
    return {"index": row.index} | {new: value for new, value in found.items() if value is not None}
