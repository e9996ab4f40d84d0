"""The problems in a folder of the prompts stage: as prompts for an engine, with what a response is judged by.

Knows the prompts table and the chat encoding.  Knows no policy and no reward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from tokenspectrum.errors import UserError
from tokenspectrum.policy.chat import encode_prompt
from tokenspectrum.rollout.types import Prompt
from tokenspectrum.tables.prompts import SCHEMA
from tokenspectrum.tokenlog.reader import check_file, read_file, read_manifest


@dataclass(frozen=True)
class Question:
    """A problem as a chat, its gold answer (as in reward/gold.py) and where it comes from."""

    prompt_id: str
    messages: Sequence[dict[str, str]]
    ground_truth: str
    data_source: str


def read_questions(root: Path) -> dict[str, list[Question]]:
    """File name without .parquet -> its problems, in the file's order.  A folder without problems is a UserError."""
    manifest = read_manifest(root)
    found = {}
    for name in sorted(manifest["files"]):
        if name.endswith(".parquet"):
            rows = read_file(check_file(root, name, manifest), SCHEMA).to_pylist()
            found[Path(name).stem] = [
                Question(row["prompt_id"], row["prompt"], row["reward_model"]["ground_truth"], row["data_source"])
                for row in rows
            ]
    if empty := [name for name, questions in found.items() if not questions]:
        raise UserError(f"{root / empty[0]}.parquet: no problems in it; check the limits and filters of params prompts")
    if not found:
        raise UserError(f"{root}: no problems in it; run the prompts stage")
    return found


def encode_questions(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> list[Prompt]:
    """Prompts with the chat template applied, cut on the left to `max_tokens`; `n_dropped` counts what was cut."""
    return [Prompt(q.prompt_id, *encode_prompt(tokenizer, q.messages, max_tokens)) for q in questions]
