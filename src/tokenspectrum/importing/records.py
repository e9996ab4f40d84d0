"""A response as somebody else's trainer wrote it down, and how files of them are found and read.

Knows JSONL and Parquet.  Knows no trainer and no tokenizer.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.tokenlog.reader import read_file

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
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                where = f"{path} line {number}"
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except ValueError as e:
                    raise UserError(f"{where}: not JSON ({e}); was it cut off while it was written?") from None
                if not isinstance(value, dict):
                    raise UserError(f"{where}: expected an object, found {type(value).__name__}")
                yield where, value
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; a Parquet file ends in .parquet") from None


def rows_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same of a JSONL or Parquet file, by its name."""
    if path.suffix != ".parquet":
        yield from json_lines(path)
        return
    for number, row in enumerate(read_file(path).to_pylist(), 1):
        yield f"{path} row {number}", row


def field(where: str, row: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """A field that must be there and of that type, or a UserError that lists those that are."""
    if name not in row:
        raise UserError(f"{where}: no field {name!r}; it has {', '.join(sorted(row)) or 'none'}")
    value = row[name]
    if not isinstance(value, kind):
        raise UserError(f"{where}, field {name!r}: found {type(value).__name__}")
    return value


def number(where: str, row: dict[str, Any], name: str) -> float | None:
    """A field that is a number or null, or not there."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where}, field {name!r}: found {type(value).__name__} where a number is due")
    return float(value)


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
