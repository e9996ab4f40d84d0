"""Which prompts a step trains on: the prompts table as tasks, and a seeded order of each epoch.

The order is a pure function of a position, so a checkpoint need hold no more.  Knows no policy and no rewards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from tokenspectrum.counter import hash_bits, stream_key
from tokenspectrum.errors import UserError
from tokenspectrum.policy.chat import encode_prompt
from tokenspectrum.rollout.types import Prompt
from tokenspectrum.tables.prompts import SCHEMA
from tokenspectrum.tokenlog.reader import check_file, read_file, read_manifest


@dataclass(frozen=True)
class Task:
    """A training prompt as token ids, with what its responses are judged by."""

    prompt: Prompt
    ground_truth: str
    data_source: str


class TaskSource:
    """The problems in a folder of the prompts stage, each encoded when asked for; `cut` counts those over the limit."""

    def __init__(self, root: Path, tokenizer: PreTrainedTokenizerBase, max_prompt_tokens: int) -> None:
        manifest = read_manifest(root)
        names = [name for name in sorted(manifest["files"]) if name.endswith(".parquet")]
        tables = [read_file(check_file(root, name, manifest), SCHEMA) for name in names]
        self.rows = [row for table in tables for row in table.to_pylist()]
        self.prompt_ids = tuple(row["prompt_id"] for row in self.rows)
        self.tokenizer, self.max_prompt_tokens = tokenizer, max_prompt_tokens
        self.cut = 0

    def __getitem__(self, index: int) -> Task:
        row = self.rows[index]
        ids, n_dropped = encode_prompt(self.tokenizer, row["prompt"], self.max_prompt_tokens)
        self.cut += n_dropped > 0
        prompt = Prompt(row["prompt_id"], ids, n_dropped)
        return Task(prompt, row["reward_model"]["ground_truth"], row["data_source"])


def seeded_order(prompt_ids: Sequence[str], domain: str, seed: int, turn: int) -> list[int]:
    """Indices of `prompt_ids` in an order that depends on (domain, seed, turn) and the ids, not on their places."""
    keys_N = np.array([stream_key(domain, seed, turn, prompt_id, 0) for prompt_id in prompt_ids], dtype=np.uint64)
    bits = hash_bits(keys_N, np.zeros(1)).tolist()
    return sorted(range(len(prompt_ids)), key=lambda i: (bits[i], prompt_ids[i]))


@dataclass(frozen=True)
class PromptOrder:
    """Batches of `size` prompts, epoch after epoch; the rest of an epoch that fills no batch is dropped.

    Raises UserError where there are fewer prompts than one batch needs.
    """

    prompt_ids: tuple[str, ...]
    seed: int
    size: int

    def __post_init__(self) -> None:
        if len(self.prompt_ids) < self.size:
            raise UserError(
                f"{len(self.prompt_ids)} training prompts are fewer than one batch of {self.size}: "
                "lower train.prompts_per_step or raise the limit of prompts.train"
            )

    def batch(self, position: int) -> list[int]:
        """Indices into `prompt_ids` of the batch at `position`, which counts the batches drawn before it."""
        epoch, place = divmod(position, len(self.prompt_ids) // self.size)
        order = _epoch(self.prompt_ids, self.seed, epoch)
        return order[place * self.size : (place + 1) * self.size]


@lru_cache(maxsize=2)
def _epoch(prompt_ids: tuple[str, ...], seed: int, epoch: int) -> list[int]:
    return seeded_order(prompt_ids, "epoch", seed, epoch)
