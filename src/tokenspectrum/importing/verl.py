"""verl's `trainer.rollout_data_dir`: one <step>.jsonl a step, with input, output, gts, score and step.

verl decodes both texts without special tokens.  So the prompt is put back into the policy's chat template, and the
response gets the end-of-sequence token that it lost.  Read off verl 0.9.1.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenspectrum.importing.records import Record, field, files_in, gold, json_lines, number, whole


def read(paths: Sequence[Path]) -> Iterator[Record]:
    """Every response of these files, or of the .jsonl files below these folders."""
    for path in files_in(paths, ".jsonl"):
        for where, row in json_lines(path):
            yield Record(
                where,
                whole(where, row, "step"),
                field(where, row, "input", str),
                field(where, row, "output", str),
                stripped=True,
                reward=number(where, row, "score"),
                gold=gold(where, row, "gts"),
            )
