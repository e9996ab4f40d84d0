"""Made-up tables of any size, in the shape that the stages leave them: a training run's log, and a base policy's probe.

Numbers are random, with a policy's proportions: most tokens near certain, responses of 20 to 4,000 tokens, a vocabulary
whose words are as unequal as in text.  Knows tables and folders, no benchmark.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.writer import (
    MANIFEST,
    ROW_GROUP_ROWS,
    SCHEMA_VERSION,
    _encodings,
    as_table,
    sha256,
    step_path,
    write_file,
    write_json,
    write_manifest,
)

STEP_TOKENS, RESPONSES, MINIBATCHES, N_PROMPT, VOCABULARY = 1_000_000, 500, 16, 100, 8_000
LAYER, LAYERS = 1, 4
TYPES = ("digit", "operator", "punctuation", "whitespace", "word", "word", "word", "special")
Columns = dict[str, Any]


def lengths(rng: np.random.Generator, n_tokens: int, responses: int) -> np.ndarray:
    """int64 R: tokens of each response, n_tokens together."""
    share_R = rng.uniform(20, 4000, responses)
    length_R = np.maximum(1, (share_R * n_tokens / share_R.sum()).astype(np.int64))
    length_R[0] += n_tokens - length_R.sum()
    return length_R


def key_of(length_R: np.ndarray, first: int = 0) -> Columns:
    """response_id and position of every token."""
    start_R = length_R.cumsum() - length_R
    response_N = np.repeat(np.arange(len(length_R), dtype=np.int32), length_R)
    position_N = np.arange(length_R.sum(), dtype=np.int32) - np.repeat(start_R, length_R).astype(np.int32)
    return {"response_id": response_N + np.int32(first), "position": position_N}


def responses_of(rng: np.random.Generator, length_R: np.ndarray, first: int = 0) -> Columns:
    """Eight responses a prompt."""
    n, ids = len(length_R), np.arange(len(length_R)) + first
    right_R = rng.random(n) < 0.5
    return {
        "response_id": ids,
        "prompt_id": [f"prompt-{i // 8}" for i in ids],
        "sample": ids % 8,
        "text": ["so the answer is \\boxed{7}"] * n,
        "n_prompt": [N_PROMPT] * n,
        "n_tokens": length_R,
        "finish_reason": ["stop"] * n,
        "reward": np.where(right_R, 1.0, -1.0),
        "reward_raw": np.where(right_R, 1.0, -1.0),
        "correct": right_R,
        "advantage": np.where(right_R, 1.0, -1.0),
    }


def tokens_of(rng: np.random.Generator, key: Columns, *, trained: bool) -> Columns:
    """The table tokens; weights, ratio and loss where a run trained on them."""
    n, responses = len(key["position"]), key["response_id"]
    entropy_N = rng.lognormal(-4, 2.5, n).clip(0, 8).astype(np.float32)
    logprob_N = -entropy_N * rng.random(n, np.float32)
    advantage_N = np.where(responses % 3 == 0, 1.0, -0.5).astype(np.float32)
    columns = key | {
        "token_id": (rng.zipf(1.2, n) % VOCABULARY).astype(np.int32),
        "logprob": logprob_N,
        "rollout_logprob": logprob_N,
        "predictive_entropy": entropy_N,
        "advantage": advantage_N,
    }
    if trained:
        columns |= {
            "weight": (rng.random(n, np.float32) < 0.2).astype(np.float32),
            "minibatch": (responses % MINIBATCHES).astype(np.int32),
            "ratio": np.ones(n, np.float32),
            "loss": -advantage_N,
        }
    return columns


def attention_of(rng: np.random.Generator, key: Columns, layer: int, *, supports: bool) -> Columns:
    """The table attention at one layer; the columns of the probe alone where `supports`."""
    n = len(key["position"])
    visible_N = key["position"] + np.int32(N_PROMPT)
    norm_N = rng.random(n, np.float32)
    raw_N = norm_N * np.log(visible_N).astype(np.float32)
    columns = key | {
        "layer": np.full(n, layer, np.int32),
        "visible": visible_N,
        "entropy_raw": raw_N,
        "entropy_norm": norm_N,
        "distance": rng.random(n, np.float32) * visible_N,
        "local_mass": rng.random(n, np.float32),
    }
    if supports:
        columns |= {"entropy_topk": raw_N * np.float32(0.9), "entropy_fixed": raw_N * np.float32(0.8)}
        columns |= {f"support_{p}": (visible_N * (norm_N * p / 100)).astype(np.int32) for p in (50, 80, 90, 95)}
    return columns


def write_quickly(path: Path, table: str, columns: Columns) -> None:
    """As the writer stores it, but for the level: the content does not follow from that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = as_table(TABLES[table], columns)
    pq.write_table(
        rows,
        path,
        compression="zstd",
        compression_level=1,
        row_group_size=ROW_GROUP_ROWS,
        **_encodings(rows.schema),
    )


def write_vocab(root: Path) -> None:
    ids = np.arange(VOCABULARY)
    columns = {"policy": ["made"] * VOCABULARY, "token_id": ids, "text": [f" word{i}" for i in ids]}
    write_file(root / "vocab.parquet", TABLES["vocab"], columns | {"type": [TYPES[i % len(TYPES)] for i in ids]})
    write_manifest(root)


def write_prompts(artifacts: Path, problems: int = 500) -> None:
    """The problems of the made-up scores, and what was answered."""
    ids, samples = [f"problem-{i}" for i in range(problems)], 8
    columns = {"prompt_id": ids, "data_source": ["math"] * problems, "ability": ["math"] * problems}
    columns |= {"prompt": [[{"role": "user", "content": "What is 3 + 4?"}]] * problems}
    columns |= {"reward_model": [{"style": "rule", "ground_truth": "7"}] * problems}
    columns |= {"extra_info": [{"split": "test", "index": i, "problem": "", "meta": "{}"} for i in range(problems)]}
    write_file(artifacts / "prompts/benchmarks/math.parquet", TABLES["prompts"], columns)
    write_manifest(artifacts / "prompts/benchmarks")
    n, root = problems * samples, artifacts / "evaluated/full-s1"
    columns = {"benchmark": ["math"] * n, "prompt_id": [ids[i // samples] for i in range(n)]}
    columns |= {"sample": np.arange(n) % samples, "text": ["so \\boxed{7}"] * n, "n_prompt": np.full(n, N_PROMPT)}
    columns |= {"finish_reason": ["stop"] * n, "token_ids": [[1, 2]] * n, "rollout_logprobs": [[-0.1, -0.2]] * n}
    write_file(step_path(root, "evaluated", "full", 1, 1), TABLES["evaluated"], columns)
    write_manifest(root)


def write_policy(root: Path) -> None:
    """What the database reads of it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "config.json").write_text(json.dumps({"num_hidden_layers": LAYERS}))


def write_run(artifacts: Path, n_tokens: int, *, run: str = "full", seed: int = 1, distinct: int = 4) -> None:
    """The log of a run: steps of a million tokens.

    So many of them are distinct.  The others are hard links to those: other rows to SQL, and no room on the disk.
    """
    rng = np.random.default_rng(seed)
    root = artifacts / "train" / f"{run}-s{seed}" / "tokenlog"
    files: dict[str, dict[str, Any]] = {}
    made: list[dict[str, Path]] = []
    for step in range(1, n_tokens // STEP_TOKENS + 1):
        own = {name: step_path(root, name, run, seed, step) for name in ("responses", "tokens", "attention")}
        if len(made) < distinct:
            length_R = lengths(rng, STEP_TOKENS, RESPONSES)
            key = key_of(length_R)
            write_quickly(own["responses"], "responses", responses_of(rng, length_R))
            write_quickly(own["tokens"], "tokens", tokens_of(rng, key, trained=True))
            write_quickly(own["attention"], "attention", attention_of(rng, key, LAYER, supports=False))
            made.append(own)
            listed = {name: entry(path) for name, path in own.items()}
        else:
            for name, path in own.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                os.link(made[step % distinct][name], path)
            of = made[step % distinct]
            listed = {name: files[of[name].relative_to(root).as_posix()] for name in own}
        files |= {path.relative_to(root).as_posix(): listed[name] for name, path in own.items()}
    rule = {"kind": "anchor", "denominator": "selected"}
    path = step_path(root, "runs", run, seed, None)
    one = {"method": [run], "rule": [json.dumps(rule)], "preset": ["made"], "trainer": ["local"], "policy": ["made"]}
    write_file(path, TABLES["runs"], one)
    files[path.relative_to(root).as_posix()] = entry(path)
    write_json(root / MANIFEST, {"schema_version": SCHEMA_VERSION, "files": files})
    write_metrics(artifacts, n_tokens // STEP_TOKENS, run, seed)
    write_scores(artifacts, run, seed)


def entry(path: Path) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {"rows": pq.read_metadata(path).num_rows, "sha256": sha256(path)}


def write_metrics(artifacts: Path, steps: int, run: str, seed: int) -> None:
    root = artifacts / "metrics" / f"{run}-s{seed}"
    for step in range(1, steps + 1):
        columns = {}
        for field in TABLES["metrics"]:
            if field.name in ("run", "seed", "step"):
                continue
            value: Any = 0.5
            if pa.types.is_list(field.type):
                value = [0.1] * MINIBATCHES
            elif pa.types.is_integer(field.type):
                value = 1
            elif pa.types.is_string(field.type):
                value = "{}"
            columns[field.name] = [value]
        write_file(step_path(root, "metrics", run, seed, step), TABLES["metrics"], columns)
    write_manifest(root)


def write_scores(artifacts: Path, run: str, seed: int, step: int = 1, problems: int = 500, samples: int = 8) -> None:
    root, n = artifacts / "evaluate" / f"{run}-s{seed}", problems * samples
    right = np.arange(n) % 3 == 0
    columns = {"benchmark": ["math"] * n, "prompt_id": [f"problem-{i // samples}" for i in range(n)]}
    columns |= {"sample": np.arange(n) % samples, "answer": ["7"] * n, "correct": right, "correct_alt": right}
    write_file(step_path(root, "scores", run, seed, step), TABLES["scores"], columns | {"n_tokens": np.full(n, 300)})
    write_manifest(root)


def write_probe(
    artifacts: Path, n_tokens: int, *, base: int = 1, layers: int = 1, part_tokens: int = STEP_TOKENS
) -> None:
    """Responses, tokens and attention of a base policy's probe, in files of a million rows, every row distinct."""
    rng, first = np.random.default_rng(base), 0
    where = {"run": "base", "seed": base, "step": 0}
    roots = {name: artifacts / name / str(base) for name in ("rollouts", "tokens", "attention")}
    for i, part in enumerate(parts(n_tokens, part_tokens)):
        length_R = lengths(rng, part, max(1, RESPONSES * part // STEP_TOKENS))
        key = key_of(length_R, first)
        name = f"part-{i}"
        write_quickly(
            step_path(roots["rollouts"], "responses", **where, name=name),
            "responses",
            responses_of(rng, length_R, first),
        )
        write_quickly(
            step_path(roots["tokens"], "tokens", **where, name=name), "tokens", tokens_of(rng, key, trained=False)
        )
        for layer in range(layers):
            columns = attention_of(rng, key, LAYER if layers == 1 else layer, supports=True)
            file = step_path(roots["attention"], "attention", **where, name=f"{name}-{layer}")
            write_quickly(file, "attention", columns)
        if i == 0:
            write_rows(rng, roots, where, int(length_R[0]), layers)
        first += len(length_R)
    prompts = {"prompt_id": [f"prompt-{i}" for i in range(-(-first // 8))]}
    prompts |= {"token_ids": [list(range(N_PROMPT))] * len(prompts["prompt_id"])}
    file = step_path(roots["rollouts"], "prompt_tokens", **where)
    write_file(file, TABLES["prompt_tokens"], prompts | {"n_dropped": [0] * len(prompts["prompt_id"])})
    for root in roots.values():
        write_manifest(root)
    write_vocab(artifacts / "vocab" / str(base))
    write_policy(artifacts / "policy" / str(base))


def write_rows(rng: np.random.Generator, roots: dict[str, Path], where: dict[str, Any], n: int, layers: int) -> None:
    """The attention rows of the first response's first tokens."""
    at = np.arange(min(n, 300))
    for layer in [LAYER] if layers == 1 else range(layers):
        rows = pa.array([rng.random(N_PROMPT + i).astype(np.float16) for i in at], pa.list_(pa.float16()))
        columns = {"response_id": 0 * at, "position": at, "layer": np.full(len(at), layer), "row": rows}
        file = step_path(roots["attention"], "attention_rows", **where, name=f"part-{layer}")
        write_file(file, TABLES["attention_rows"], columns)


def parts(n_tokens: int, size: int) -> Iterator[int]:
    """Sizes of the files."""
    yield from [size] * (n_tokens // size)
    if rest := n_tokens % size:
        yield rest


def write_gradients(artifacts: Path, base: int = 1) -> None:
    """A few rows of the table gradients, which `layers` reads."""
    root = artifacts / "gradients" / str(base)
    columns = {"subset": [f"{part}_l{layer}" for part in ("anchors", "explorers") for layer in range(2)]}
    columns |= {"denominator": ["all"] * 4, "layer": [0, 1, 0, 1], "tokens": [10] * 4}
    columns |= {name: [0.5] * 4 for name in ("norm_ratio", "cosine", "proj_ratio", "gain")}
    write_file(step_path(root, "gradients", "base", base, 0), TABLES["gradients"], columns)
    write_manifest(root)
