"""A response as somebody else's trainer wrote it down, and how files of them are found and read.

Knows JSONL and Parquet.  Knows no trainer and no tokenizer.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.prompts.files import read_rows
from tokenspectrum.prompts.json_rows import jsonl_rows

Messages = Sequence[dict[str, str]]


@dataclass(frozen=True)
class Record:
    """One response.  The prompt is a chat, the text that the policy saw, that text stripped, or tokens."""

    where: str  # file and line, for messages
    step: int
    prompt: Messages | str | Sequence[int]
    response: str | Sequence[int]
    stripped: bool = False  # the prompt's text lost its special tokens
    logprobs: Sequence[float] | None = None  # of the response's tokens
    reward: float | None = None
    gold: str | None = None


def files_in(paths: Sequence[Path], suffix: str) -> list[Path]:
    """The files named, and those of that suffix below the folders named, by the numbers in their names."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob(f"*{suffix}"), key=lambda file: _natural(file.relative_to(path).as_posix()))
            if not inside:
                raise UserError(f"{path}: no {suffix} file in it")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"{path}: no such file or folder")
    return found


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and line, object) of a JSONL file.  A line that is no object is a UserError naming it."""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # a byte order mark is no part of the text
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; a Parquet file ends in .parquet") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror})") from None
    try:
        for row in jsonl_rows(path, text):
            yield row.where, row.values
    except UserError as e:
        hint = "; was it cut off while it was written?" if "not valid JSON" in str(e) else ""
        raise UserError(f"{e}{hint}") from None


def rows_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same of a JSONL or Parquet file, by its name."""
    if path.suffix != ".parquet":
        yield from json_lines(path)
        return
    for row in read_rows(path):
        yield row.where, row.values


def field(where: str, row: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """A field that must be there and of that type, or a UserError that lists those that are."""
    if name not in row:
        raise UserError(f"{where}: no field {name!r}; it has {', '.join(sorted(row)) or 'none'}")
    value = row[name]
    if not isinstance(value, kind):
        raise UserError(f"{where}, field {name!r}: found {type(value).__name__}")
    return value


def number(where: str, row: dict[str, Any], name: str) -> float | None:
    """A field that is a finite number or null, or not there."""
    value = row.get(name)
    return None if value is None else finite(where, name, value)


def finite(where: str, name: str, value: Any) -> float:
    """That value as a float; a UserError if it is no number, or none that a float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where}, field {name!r}: found {type(value).__name__} where a number is due")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise UserError(f"{where}, field {name!r}: found {_short(value)} where a finite number is due")
    return found


def whole(where: str, row: dict[str, Any], name: str) -> int:
    """A field that must be there and a whole number, such as a step."""
    value = finite(where, name, field(where, row, name, object))
    if value != int(value):
        raise UserError(f"{where}, field {name!r}: found {value} where a whole number is due")
    return int(row[name])


def gold(where: str, row: dict[str, Any], name: str) -> str | None:
    """A gold answer: text or a number; None if it is null, not there, or a list or object, as tests of code are."""
    value = row.get(name)
    if value is None or isinstance(value, list | dict):
        return None
    if isinstance(value, float):
        finite(where, name, value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{where}, field {name!r}: found {type(value).__name__} where a gold answer is due as text")
    if not str(value).strip():
        raise UserError(f"{where}, field {name!r}: an empty gold answer; write it, or null if there is none")
    return str(value).strip()


def chat_or_text(where: str, name: str, value: Any) -> Messages | str:
    """A text, or a list of messages with role and content."""
    if isinstance(value, str):
        return value
    good = isinstance(value, list) and value and all(isinstance(m, dict) for m in value)
    if not good or not all(isinstance(m.get(key), str) for m in value for key in ("role", "content")):
        raise UserError(f"{where}, field {name!r}: expected text, or messages with role and content as text")
    return [{"role": m["role"], "content": m["content"]} for m in value]


def _natural(name: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"a number of {len(text)} digits"
