"""TRL's `log_completions`: completions/completions_<step>.parquet, with step, prompt, completion, a column for each
reward function, what these logged by `log_extra`, and advantage, in this order.

A prompt is a text that the policy saw as it is, or a chat.  The reward is the sum of the reward columns, unweighted:
the file does not say the weights.  It does not say either where the reward columns end.  They are all floats, and at
least one is there: one float behind `completion` is the reward, and of several the user names those that are.  Read
off TRL 1.16.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tokenspectrum.errors import UserError
from tokenspectrum.importing.records import Record, chat_or_text, field, files_in, finite, gold, rows_of, whole

_OWN = ("step", "prompt", "completion", "advantage")


def read(paths: Sequence[Path], named: Sequence[str] = ()) -> Iterator[Record]:
    """Every completion of these files, or of the .parquet files below these folders.  `named`: the reward columns."""
    for path in files_in(paths, ".parquet"):
        rewards: Sequence[str] | None = None
        for where, row in rows_of(path):
            rewards = _reward_columns(path, named) if rewards is None else rewards
            completion = chat_or_text(where, "completion", field(where, row, "completion", (str, list)))
            if not isinstance(completion, str):
                if len(completion) != 1:
                    raise UserError(f"{where}, field 'completion': {len(completion)} turns; only one can be imported")
                completion = completion[0]["content"]
            golds = (gold(where, row, name) for name in ("answer", "solution", "ground_truth") if name not in rewards)
            yield Record(
                where,
                whole(where, row, "step"),
                chat_or_text(where, "prompt", field(where, row, "prompt", (str, list))),
                completion,
                reward=_reward(where, row, rewards),
                gold=next((one for one in golds if one is not None), None),
            )


def _reward_columns(path: Path, named: Sequence[str]) -> Sequence[str]:
    """The columns of the reward functions; a UserError where the file leaves open which they are."""
    if path.suffix != ".parquet":
        raise UserError(f"{path}: TRL writes Parquet files, and this name ends otherwise")
    columns = [column for column in pq.read_schema(path) if column.name not in _OWN]
    floats: list[str] = []
    for column in columns:  # a reward function's column holds floats, so the first that does not was logged
        if not pa.types.is_floating(column.type):
            break
        floats.append(column.name)
    if named:
        if missing := [name for name in named if name not in floats]:
            there = ", ".join(floats) or "none"
            raise UserError(f"--reward-column {missing[0]}: no reward of {path}; its floats behind completion: {there}")
        return named
    if len(floats) > 1:
        raise UserError(
            f"{path}: each of the columns {', '.join(floats)} may be a reward function's, or logged by log_extra; "
            "name the rewards: --reward-column NAME, once for each"
        )
    return floats


def _reward(where: str, row: dict[str, Any], columns: Sequence[str]) -> float | None:
    """Their sum.  NaN is what TRL writes where a reward function gave none."""
    found = [row[name] for name in columns if row[name] is not None and not math.isnan(row[name])]
    return finite(where, " + ".join(columns), sum(found)) if found else None
