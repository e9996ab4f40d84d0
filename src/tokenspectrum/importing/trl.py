"""TRL's `log_completions`: completions/completions_<step>.parquet, with step, prompt, completion, a column for each
reward function, and advantage.

A prompt is a text that the policy saw as it is, or a chat.  The reward is the sum of the reward columns, unweighted:
the file does not say the weights.  Read off TRL 1.16.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError
from tokenspectrum.importing.records import Record, chat_or_text, field, files_in, number, rows_of

_OWN = {"step", "prompt", "completion", "advantage"}


def read(paths: Sequence[Path]) -> Iterator[Record]:
    """Every completion of these files, or of the .parquet files below these folders."""
    for path in files_in(paths, ".parquet"):
        for where, row in rows_of(path):
            completion = chat_or_text(where, "completion", field(where, row, "completion", (str, list)))
            if not isinstance(completion, str):
                if len(completion) != 1:
                    raise UserError(f"{where}, field 'completion': {len(completion)} turns; only one can be imported")
                completion = completion[0]["content"]
            yield Record(
                where,
                field(where, row, "step", int),
                chat_or_text(where, "prompt", field(where, row, "prompt", (str, list))),
                completion,
                reward=_reward(row),
                gold=next((str(row[name]) for name in ("answer", "solution", "ground_truth") if row.get(name)), None),
            )


def _reward(row: dict[str, Any]) -> float | None:
    """The sum of the columns that are numbers and not TRL's own."""
    rewards = [number("", row, name) for name in row if name not in _OWN and isinstance(row[name], float)]
    return sum(reward for reward in rewards if reward is not None) if rewards else None
