"""A plain file of pairs, JSONL or Parquet: columns prompt and response; answer, reward and step if they are there.

A prompt is a text, which is asked as the user's turn of a chat, or a chat itself.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenspectrum.importing.records import Record, chat_or_text, field, files_in, gold, number, rows_of, whole


def read(paths: Sequence[Path]) -> Iterator[Record]:
    """Every pair of these files."""
    for path in files_in(paths, ".jsonl"):
        for where, row in rows_of(path):
            prompt = chat_or_text(where, "prompt", field(where, row, "prompt", (str, list)))
            yield Record(
                where,
                0 if row.get("step") is None else whole(where, row, "step"),
                [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt,
                field(where, row, "response", str),
                reward=number(where, row, "reward"),
                gold=gold(where, row, "answer"),
            )
