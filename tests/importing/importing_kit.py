"""Dumps in the formats of other trainers, small: three prompts, four responses each, of the policy of `boxes`.

And the stages that score what was imported.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tokenspectrum.cli.preset import choose
from tokenspectrum.stages import policy, prompts, rollouts, sample, tokens

PROMPTS = ("1+1", "2+3", "4+4")
TEXTS = ("1\\boxed{2}", "\\boxed{5}", "12345678", "\\boxed{8}")
GOLDS = ("2", "5", "8")


def write_verl(folder: Path) -> Path:
    """As `_write_generations` of verl 0.9.1: a file a step, two of them; later fields are of the reward function."""
    folder.mkdir(parents=True)
    for step in (9, 10):
        with (folder / f"{step}.jsonl").open("w") as file:
            for prompt, gold in zip(PROMPTS, GOLDS, strict=True):
                for text in TEXTS:
                    score = 1.0 if f"{{{gold}}}" in text else 0.0
                    entry = {"input": prompt, "output": text, "gts": gold, "score": score, "step": step, "acc": score}
                    file.write(json.dumps(entry, ensure_ascii=False, default=str) + "\n")
    return folder


def write_trl(folder: Path, chat: bool = False) -> Path:
    """As `log_completions` of TRL: reward functions' columns, then the advantage."""
    folder.mkdir(parents=True)
    ask = [[{"role": "user", "content": p}] if chat else p for p in PROMPTS for _ in TEXTS]
    said = [[{"role": "assistant", "content": t}] if chat else t for _ in PROMPTS for t in TEXTS]
    table = {"step": [5] * 12, "prompt": ask, "completion": said}
    table |= {"length": [0.25] * 12, "right": [1.0, 0.0] * 6, "advantage": [0.5] * 12}
    pq.write_table(pa.table(table), folder / "completions_00005.parquet")
    return folder


def write_prime(folder: Path, encode, eos: int) -> Path:
    """As prime-rl's token export, schema_version 1, over two ranks; one sequence of several turns."""
    records = []
    for prompt in PROMPTS:
        for text in TEXTS:
            before, ids = encode(prompt), [*encode(text), eos]
            n, m = len(before), len(ids)
            records.append(
                {
                    "schema_version": 1,
                    "step": 3,
                    "export_step": 3,
                    "rank": 0,
                    "token_ids": before + ids,
                    "loss_mask": [False] * n + [True] * m,
                    "rewards": [None] * n + [0.75] * m,
                    "inference_logprobs": [0.0] * n + [-0.5] * m,
                    "trainer_logprobs": [0.0] * n + [-0.25] * m,
                }
            )
    turns = records[0] | {"loss_mask": [False, False, False, True, False, True]}
    for rank, mine in enumerate((records[:6], [*records[6:], turns])):
        path = folder / f"token_exports/step_3/rank_{rank}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in mine))
    return folder


def write_pairs(path: Path, **extra) -> Path:
    """One response to each prompt."""
    rows = [{"prompt": p, "response": t, **extra} for p, t in zip(PROMPTS, TEXTS, strict=False)]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def score(name: str, *, probe: bool = True) -> Path:
    """The stages of the probe under preset `name`, as dvc.yaml calls them; the folder of the rollouts."""
    choose(name, force=True)
    root = Path("artifacts") / name
    base = ["--base", "1"]
    prompts.main(["--out", str(root / "prompts")])
    at = ["--out", str(root / "policy/1"), "--vocab", str(root / "vocab/1"), "--report", str(root / "report.json")]
    policy.main(["--benchmarks", str(root / "prompts/benchmarks"), *base, *at])
    given = ["--prompts", str(root / "prompts/train"), "--policy", str(root / "policy/1"), *base]
    sample.main([*given, "--shard", "1", "--out", str(root / "sample/1/1")])
    rollouts.main([*given, "--samples", str(root / "sample/1"), "--out", str(root / "rollouts/1")])
    if probe:
        words = ["--rollouts", str(root / "rollouts/1"), "--policy", str(root / "policy/1")]
        tokens.main([*words, "--out", str(root / "tokens/1"), "--attention", str(root / "attention/1")])
    return root / "rollouts/1"
