"""Columns of small tables, of random numbers where no test looks, and folders of prompts."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tokenspectrum.prompts.problem import Problem
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.writer import write_file, write_manifest


def prompt_columns(problems: Sequence[Problem], split: str = "train", ids: Sequence[str] | None = None) -> dict:
    """Table prompts, a row a problem; under the problems' own ids if `ids` is None."""
    return {
        "prompt_id": ids or [p.prompt_id for p in problems],
        "data_source": [p.data_source for p in problems],
        "prompt": [[{"role": "user", "content": p.text}] for p in problems],
        "ability": ["math"] * len(problems),
        "reward_model": [{"style": "rule", "ground_truth": p.answer} for p in problems],
        "extra_info": [{"split": split, "index": i, "problem": p.text, "meta": "{}"} for i, p in enumerate(problems)],
    }


def write_questions(root: Path, problems: Mapping[str, Sequence[Problem]], split: str = "train") -> Path:
    """A folder like those of the prompts stage: name -> <name>.parquet."""
    for name, of_file in problems.items():
        write_file(root / f"{name}.parquet", TABLES["prompts"], prompt_columns(of_file, split))
    write_manifest(root)
    return root


def sums(count: int, first: int = 1) -> list[Problem]:
    """Sums of two to five terms in `boxes`, so that some prompts are longer than 6 tokens."""
    texts = ["+".join(str((i + j) % 10) for j in range(1 + i % 4)) for i in range(first, first + count)]
    return [Problem("sums", f"{text}+{i}", str(i % 10)) for i, text in enumerate(texts)]


def write_vocab(root: Path, policy: str, texts: Sequence[str], types: Sequence[str]) -> None:
    """The folder of table vocab: token i has texts[i] and types[i]."""
    n = len(texts)
    columns = {"policy": [policy] * n, "token_id": range(n), "text": list(texts), "type": list(types)}
    write_file(root / "vocab.parquet", TABLES["vocab"], columns)
    write_manifest(root)


def places(lengths: Iterable[int]) -> dict[str, np.ndarray]:
    """response_id and position of each token of responses of these lengths, in order."""
    lengths = list(lengths)
    return {
        "response_id": np.repeat(np.arange(len(lengths)), lengths),
        "position": np.concatenate([np.arange(n) for n in lengths]),
    }


def token_columns(rng: np.random.Generator, lengths: Sequence[int], low: int, high: int) -> dict[str, np.ndarray]:
    """Table tokens, ids in [low, high).  Few distinct entropies: whoever ranks them must break ties."""
    n = sum(lengths)
    return {
        **places(lengths),
        "token_id": rng.integers(low, high, n),
        "logprob": -rng.random(n),
        "rollout_logprob": -rng.random(n),
        "predictive_entropy": rng.integers(0, 6, n) / 4,
        "advantage": rng.normal(size=n),
    }


def attention_columns(rng: np.random.Generator, tokens: Mapping, layers: Sequence[int], n_prompt: int) -> dict:
    """Table attention for these tokens, a layer after the other.  Few distinct entropies, as in `token_columns`."""
    n = len(tokens["position"])
    return {
        **{k: np.tile(tokens[k], len(layers)) for k in ("response_id", "position")},
        "layer": np.repeat(layers, n),
        "visible": np.tile(tokens["position"] + n_prompt, len(layers)),
        **{k: rng.integers(0, 5, n * len(layers)) / 5 for k in ("entropy_raw", "entropy_norm")},
        **{k: rng.random(n * len(layers)) for k in ("distance", "local_mass")},
        "entropy_topk": rng.integers(0, 5, n * len(layers)) / 5,
        **{f"support_{mass}": rng.integers(1, 9, n * len(layers)) for mass in (50, 80, 90, 95)},
    }


def response_columns(lengths: Sequence[int], **given) -> dict:
    """Table responses, without any reward; `given` (prompt_id, sample and n_prompt at least) is put in its place."""
    n = len(lengths)
    unset = {"text": [""] * n, "finish_reason": ["stop"] * n, "correct": [False] * n}
    unset |= {name: np.zeros(n) for name in ("reward", "reward_raw", "advantage")}
    return {"response_id": np.arange(n), "n_tokens": lengths} | unset | given
