"""prime-rl's token export: token_exports/step_<step>/rank_<rank>.jsonl, a sequence a line, arrays aligned by token.

It has the tokens themselves, what was trained on (loss_mask), the sampler's log-probabilities and the reward.  A
sequence of several turns has a mask with gaps and is left out.  Read off schema_version 1.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.importing.records import Record, field, files_in, finite, json_lines, whole

VERSION = 1
_IDS = 2**31  # of the table `given`, which holds 32 bits


def read(paths: Sequence[Path]) -> Iterator[Record]:
    """Every sequence of one turn of these files, or of the .jsonl files below these folders."""
    for path in files_in(paths, ".jsonl"):
        for where, row in json_lines(path):
            if (version := row.get("schema_version")) != VERSION:
                raise UserError(f"{where}: schema_version {version}, and {VERSION} is what can be read")
            ids, mask = field(where, row, "token_ids", list), field(where, row, "loss_mask", list)
            logprobs, earned = _numbers(where, row, "inference_logprobs"), _numbers(where, row, "rewards")
            if {len(one) for one in (mask, logprobs, earned) if one is not None} != {len(ids)}:
                raise UserError(f"{where}: token_ids, loss_mask, inference_logprobs and rewards differ in length")
            for i, token in enumerate(ids):
                if type(token) is not int or not 0 <= token < _IDS:
                    raise UserError(
                        f"{where}, field 'token_ids': item {i} is {token!r:.40}, which is no token's number"
                    )
            if not all(isinstance(on, bool) for on in mask):
                raise UserError(f"{where}, field 'loss_mask': expected true and false alone")
            first = mask.index(True) if True in mask else len(ids)
            end = len(mask) - mask[::-1].index(True) if True in mask else first
            if not first or first == end or not all(mask[first:end]):
                continue
            said = [value for value in (logprobs or [])[first:end] if value is not None]
            rewards = [value for value in (earned or [])[first:end] if value is not None]
            yield Record(
                where,
                whole(where, row, "export_step"),
                ids[:first],
                ids[first:end],
                logprobs=said if len(said) == end - first else None,
                reward=rewards[-1] if rewards else None,
            )


def _numbers(where: str, row: dict[str, Any], name: str) -> list[float | None] | None:
    """A list of finite numbers and nulls; None if it is null or not there."""
    if row.get(name) is None:
        return None
    values = field(where, row, name, list)
    return [None if value is None else finite(where, f"{name}[{i}]", value) for i, value in enumerate(values)]
