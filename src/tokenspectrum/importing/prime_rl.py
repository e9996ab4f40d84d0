"""prime-rl's token export: token_exports/step_<step>/rank_<rank>.jsonl, a sequence a line, arrays aligned by token.

It has the tokens themselves, what was trained on (loss_mask), the sampler's log-probabilities and the reward.  A
sequence of several turns has a mask with gaps and is left out.  Read off schema_version 1.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.importing.records import Record, field, files_in, json_lines

VERSION = 1


def read(paths: Sequence[Path]) -> Iterator[Record]:
    """Every sequence of one turn of these files, or of the .jsonl files below these folders."""
    for path in files_in(paths, ".jsonl"):
        for where, row in json_lines(path):
            if (version := row.get("schema_version")) != VERSION:
                raise UserError(f"{where}: schema_version {version}, and {VERSION} is what can be read")
            ids, mask = field(where, row, "token_ids", list), field(where, row, "loss_mask", list)
            logprobs = row.get("inference_logprobs")
            if len(mask) != len(ids) or (logprobs is not None and len(logprobs) != len(ids)):
                raise UserError(f"{where}: token_ids, loss_mask and inference_logprobs differ in length")
            first = mask.index(True) if True in mask else len(ids)
            end = len(mask) - mask[::-1].index(True) if True in mask else first
            if not first or first == end or not all(mask[first:end]):
                continue
            said = None if logprobs is None else logprobs[first:end]
            rewards = [value for value in (row.get("rewards") or [])[first:end] if value is not None]
            yield Record(
                where,
                field(where, row, "export_step", int),
                ids[:first],
                ids[first:end],
                logprobs=None if said is None or None in said else said,
                reward=float(rewards[-1]) if rewards else None,
            )
