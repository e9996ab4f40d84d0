"""The stages evaluate and evaluate_base as a user runs them."""

import json
from pathlib import Path

import pytest
from kit.policy import write_boxes
from kit.stages import write_params
from kit.tables import sums, write_questions

from tokenspectrum.errors import UserError
from tokenspectrum.policy.load import load_tokenizer
from tokenspectrum.reward import boxed
from tokenspectrum.stages import evaluate, evaluate_base
from tokenspectrum.tables.scores import SCHEMA
from tokenspectrum.tokenlog.reader import read_manifest, read_table


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Benchmarks, a base policy, and a run whose step 2 is the base policy again and whose step 10 is another."""
    root = tmp_path_factory.mktemp("home")
    write_questions(root / "benchmarks", {"MATH": sums(5), "AIME24": sums(3, first=20)})
    write_boxes(root / "policy")
    write_boxes(root / "run" / "step=00002")
    write_boxes(root / "run" / "step=00010", seed=1)
    return root


@pytest.fixture(autouse=True)
def _params(tmp_path, monkeypatch):
    monkeypatch.delenv("SNAKEDVC_LOG_DIR", raising=False)
    monkeypatch.setenv("SNAKEDVC_PARAMS", str(write_params(tmp_path / "params.yaml")))


def samples_of(out: Path) -> Path:
    """Where the texts of the samples go whose scores go to `out`."""
    return out.with_name(f"{out.name}-evaluated")


def run_evaluate(home: Path, out: Path, seed: int = 1) -> Path:
    paths = ["--benchmarks", str(home / "benchmarks"), "--policy", str(home / "run"), "--out", str(out)]
    paths += ["--samples", str(samples_of(out))]
    evaluate.main([*paths, "--run", "method", "--seed", str(seed)])
    return out


def run_base(home: Path, out: Path, seed: int = 1) -> Path:
    paths = ["--benchmarks", str(home / "benchmarks"), "--policy", str(home / "policy"), "--out", str(out)]
    paths += ["--samples", str(samples_of(out))]
    evaluate_base.main([*paths, "--seed", str(seed)])
    return out


def test_one_file_a_benchmark_and_a_summary(home, tmp_path):
    out = run_evaluate(home, tmp_path / "out")
    folder = "scores/run=method/seed=1/step=10"
    assert set(read_manifest(out)["files"]) == {
        f"{folder}/MATH.parquet",
        f"{folder}/AIME24.parquet",
        "summary.json",
    }
    table = read_table(out, "scores")
    assert table.schema.names == [*SCHEMA.names, "run", "seed", "step"]
    rows = table.to_pylist()
    assert len(rows) == (5 + 3) * 8
    summary = json.loads((out / "summary.json").read_text())
    assert summary["k"] == 8
    assert list(summary["steps"]) == ["10"]
    for benchmark, problems in (("MATH", 5), ("AIME24", 3)):
        of = [row for row in rows if row["benchmark"] == benchmark]
        assert {row["sample"] for row in of} == set(range(8))
        facts = summary["steps"]["10"][benchmark]
        assert facts["mean_at_k"] == pytest.approx(sum(row["correct"] for row in of) / (problems * 8))
        different = sum(row["correct"] != row["correct_alt"] for row in of)
        assert facts["right_by_strict_only"] + facts["right_by_alternative_only"] == different
    assert any(row["correct"] for row in rows)


def test_samples_are_kept_beside_the_scores_row_by_row(home, tmp_path):
    out = run_evaluate(home, tmp_path / "out")
    scores, kept = read_table(out, "scores"), read_table(samples_of(out), "evaluated")
    keys = ["benchmark", "prompt_id", "sample", "run", "seed", "step"]
    assert kept.select(keys) == scores.select(keys)
    tokenizer = load_tokenizer(home / "policy")
    for said, judged in zip(kept.to_pylist(), scores.to_pylist(), strict=True):
        assert said["text"] == tokenizer.decode(said["token_ids"], skip_special_tokens=True)
        assert len(said["token_ids"]) == len(said["rollout_logprobs"]) == judged["n_tokens"]
        assert max(said["rollout_logprobs"]) <= 0
        assert (said["finish_reason"] == "stop") == (said["token_ids"][-1] == tokenizer.eos_token_id)
        assert boxed.verify(said["text"], "0", "sums", []).answer == judged["answer"]


def test_keeping_samples_changes_no_byte_of_the_scores(home, tmp_path, monkeypatch):
    with_texts = run_base(home, tmp_path / "with")
    monkeypatch.setenv("SNAKEDVC_PARAMS", str(write_params(tmp_path / "no.yaml", evaluate={"keep_samples": False})))
    without = run_base(home, tmp_path / "without")
    assert (with_texts / "manifest.json").read_bytes() == (without / "manifest.json").read_bytes()
    assert len(read_manifest(samples_of(with_texts))["files"]) == 2
    assert read_manifest(samples_of(without))["files"] == {}


def test_runs_of_a_seed_meet_the_same_draws_and_seeds_differ(home, tmp_path, monkeypatch):
    params = write_params(tmp_path / "steps.yaml", evaluate={"steps": [2, "final"]})
    base = read_table(run_base(home, tmp_path / "base"), "scores")
    monkeypatch.setenv("SNAKEDVC_PARAMS", str(params))
    out = run_evaluate(home, tmp_path / "out")
    assert set(json.loads((out / "summary.json").read_text())["steps"]) == {"2", "10"}
    same, other = read_table(out, "scores", step=2), read_table(out, "scores", step=10)
    assert set(base["step"].to_pylist()) == {0}
    assert set(base["run"].to_pylist()) == {"base"}
    assert same.select(SCHEMA.names) == base.select(SCHEMA.names)
    assert other.select(SCHEMA.names) != base.select(SCHEMA.names)
    seed2 = read_table(run_base(home, tmp_path / "base2", seed=2), "scores")
    assert seed2["n_tokens"].to_pylist() != base["n_tokens"].to_pylist()


def test_the_batch_of_the_engine_changes_nothing(home, tmp_path, monkeypatch):
    before = run_base(home, tmp_path / "base")
    params = write_params(tmp_path / "small.yaml", systems={"generate_batch": 3})
    monkeypatch.setenv("SNAKEDVC_PARAMS", str(params))
    after = run_base(home, tmp_path / "small")
    assert (before / "manifest.json").read_bytes() == (after / "manifest.json").read_bytes()


def test_every_sampling_option_counts(home, tmp_path, monkeypatch):
    found = []
    for name, value in {"samples": 8, "temperature": 0.2, "top_p": 0.01, "max_response_tokens": 3}.items():
        params = write_params(tmp_path / f"{name}.yaml", evaluate={name: value})
        monkeypatch.setenv("SNAKEDVC_PARAMS", str(params))
        found.append(tuple(read_table(run_base(home, tmp_path / name), "scores")["n_tokens"].to_pylist()))
    assert len(set(found)) == 4
    assert max(found[3]) == 3


def test_bad_input_is_one_clear_line(home, tmp_path, monkeypatch):
    monkeypatch.setenv("SNAKEDVC_PARAMS", str(write_params(tmp_path / "p.yaml", evaluate={"steps": ["final", 7]})))
    with pytest.raises(UserError, match=r"evaluate\.steps: step 7 is not in .*, which has 2, 10; add it to train"):
        run_evaluate(home, tmp_path / "out")
    empty = tmp_path / "empty"
    (empty / "run").mkdir(parents=True)
    (empty / "benchmarks").symlink_to(home / "benchmarks")
    with pytest.raises(UserError, match="no policy step=<NNNNN> in it; run the train stage"):
        run_evaluate(empty, tmp_path / "out")
    damaged = tmp_path / "damaged"
    write_questions(damaged / "benchmarks", {"MATH": sums(2)})
    (damaged / "benchmarks" / "MATH.parquet").write_bytes(b"not parquet")
    (damaged / "policy").symlink_to(home / "policy")
    with pytest.raises(UserError, match=r"MATH\.parquet: damaged"):
        run_base(damaged, tmp_path / "out")
    assert not (tmp_path / "out").exists()
