"""The stages sample and evaluate_base with `engine: vllm`, as a user runs them."""

import json
from pathlib import Path

import numpy as np
import pytest
import vllm_kit
from kit.stages import run_rollouts, run_shard, write_params
from kit.tables import sums, write_questions

from tokenspectrum.errors import UserError
from tokenspectrum.stages import evaluate_base, tokens
from tokenspectrum.tokenlog.reader import read_table

SYSTEMS = {"vllm": {**vllm_kit.SYSTEMS, "shards": 1}}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("home")
    vllm_kit.write_policy(root / "policy")
    write_questions(root / "prompts", {"train": sums(12)})
    write_questions(root / "benchmarks", {"MATH": sums(5), "AIME24": sums(3, first=20)})
    return root


def use(monkeypatch, path: Path, **changes) -> None:
    monkeypatch.delenv("SNAKEDVC_LOG_DIR", raising=False)
    systems = changes.pop("systems", SYSTEMS)
    monkeypatch.setenv("SNAKEDVC_PARAMS", str(write_params(path, systems=systems, **changes)))


def test_rollouts_by_vllm_are_scored_by_the_tokens_stage_as_they_were_sampled(home, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path / "p.yaml", rollouts={"engine": "vllm", "shards": [1, 2]})
    out = tmp_path / "rollouts"
    run_rollouts(home, out, (1, 2))
    rows = read_table(out, "responses").to_pylist()
    assert [row["sample"] for row in rows] == list(range(4)) * 5
    flags = {"rollouts": out, "policy": home / "policy", "out": tmp_path / "tokens", "attention": tmp_path / "a"}
    tokens.main([word for flag, path in flags.items() for word in (f"--{flag}", str(path))])
    scored = read_table(tmp_path / "tokens", "tokens")
    difference = scored["logprob"].to_numpy() - scored["rollout_logprob"].to_numpy()
    assert np.abs(difference).max() < 1e-4


def test_evaluation_by_vllm_has_exactly_k_samples_a_problem(home, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path / "p.yaml", evaluate={"engine": "vllm"})
    words = ["--benchmarks", str(home / "benchmarks"), "--policy", str(home / "policy"), "--out", str(tmp_path / "out")]
    evaluate_base.main([*words, "--samples", str(tmp_path / "samples"), "--seed", "1"])
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["steps"]["0"]
    assert {name: facts["samples"] for name, facts in summary.items()} == {"MATH": 5 * 8, "AIME24": 3 * 8}


def test_an_engine_without_machines_is_refused(home, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path / "p.yaml", rollouts={"engine": "vllm"}, systems={"vllm": None})
    with pytest.raises(UserError, match=r"systems\.vllm: null"):
        run_shard(home, tmp_path)
