"""Rows of JSON and JSON Lines text: stricter than the library, and with the line of each.

A field given twice, half a character and a value nested too deep are one line each.  Knows no file but its name.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.prompts.row import Row

# An integer longer than Python turns into a number stays as it is written.
_MAX_DIGITS = 4000
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose fields have each one value: of two, the library would drop the first without a word."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field {twice!r} is given twice")
    return values


_DECODER = json.JSONDecoder(parse_int=_integer, object_pairs_hook=_object)


def _half_characters(value: Any, name: str = "") -> str | None:
    """The dotted name of a field with half a character in it (a lone surrogate), which no file can hold."""
    if isinstance(value, str):
        return name if re.search("[\ud800-\udfff]", value) else None
    if isinstance(value, dict):
        if any(_half_characters(key, "key") for key in value):
            return f"{name}, a name in it".lstrip(", ")
        members = [(str(key), member) for key, member in value.items()]
    elif isinstance(value, list):
        members = [(str(i), member) for i, member in enumerate(value)]
    else:
        return None
    found = (_half_characters(member, f"{name}.{key}".lstrip(".")) for key, member in members)
    return next((field for field in found if field is not None), None)


def _decoded(path: Path, line: int, text: str, position: int) -> tuple[Any, int]:
    """The JSON value at `position` and where it ends; `line` is the first of `text`."""
    try:
        values, end = _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as e:
        raise UserError(f"{path} line {line + e.lineno - 1}: not valid JSON ({e.msg})") from None
    except ValueError as e:
        raise UserError(f"{path} line {line + _line(text, position) - 1}: {e}; keep one") from None
    except RecursionError:
        where = line + _line(text, position) - 1
        raise UserError(f"{path} line {where}: nested too deep to be read") from None
    if _SURROGATE.search(text, position, end) and (field := _half_characters(values)) is not None:
        where = line + _line(text, position) - 1
        raise UserError(
            f"{path} line {where}, field {field!r}: holds half a character (a lone \\ud800 to \\udfff); write it whole"
        )
    return values, end


def json_rows(path: Path, text: str) -> Iterator[Row]:
    """Objects of a JSON array, with the line on which each begins."""
    index, line, counted = 0, 1, 0
    position = _behind_space(text, 0)
    if not text.startswith("[", position):
        raise UserError(f"{path} line {_line(text, position)}: expected a JSON array of objects")
    position = _behind_space(text, position + 1)
    if text.startswith("]", position):
        return _end(path, text, position)
    while True:
        line, counted = line + text.count("\n", counted, position), position
        values, position = _decoded(path, 1, text, position)
        yield _row(f"{path} line {line}", index, values)
        index += 1
        position = _behind_space(text, position)
        if text.startswith("]", position):
            return _end(path, text, position)
        if not text.startswith(",", position):
            raise UserError(f"{path} line {_line(text, position)}: not valid JSON (expected ',' or ']')")
        position = _behind_space(text, position + 1)


def _end(path: Path, text: str, position: int) -> None:
    """Nothing may follow the array: a second one would be left out without a word."""
    position = _behind_space(text, position + 1)
    if position < len(text):
        raise UserError(f"{path} line {_line(text, position)}: not valid JSON (more than one value)")


def _behind_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _row(where: str, index: int, values: Any) -> Row:
    if not isinstance(values, dict):
        raise UserError(f"{where}: expected an object with named fields, found {type(values).__name__}")
    return Row(where, index, values)


def jsonl_rows(path: Path, text: str) -> Iterator[Row]:
    index = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        line = line.strip()
        values, end = _decoded(path, number, line, 0)
        if end < len(line):
            raise UserError(f"{path} line {number}: not valid JSON (more than one value)")
        yield _row(f"{path} line {number}", index, values)
        index += 1
