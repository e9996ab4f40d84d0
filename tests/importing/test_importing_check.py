"""`spectrum check` on imported presets: nothing is wrong with what was imported, and a changed value is named."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from importing_kit import PROMPTS, TEXTS, score, write_pairs, write_prime
from kit.policy import boxes

from tokenspectrum.checking.found import Report
from tokenspectrum.checking.preset import Checked
from tokenspectrum.cli.main import main
from tokenspectrum.cli.preset import choose
from tokenspectrum.params.root import load_params
from tokenspectrum.tokenlog.writer import write_manifest

ROOT = Path(__file__).resolve().parents[2]
REWARDS = (0.5, -0.25, 0.0, 2.0)  # none of them is the verifier's
STEP = "run=base/seed=1/step=0/part-0.parquet"
FOLDER = {"responses": "rollouts/1", "sampled": "rollouts/1", "tokens": "tokens/1"}


@pytest.fixture(scope="module")
def made(tmp_path_factory, checkpoint) -> Path:
    """A project with imported presets, scored: groups and single responses, rewards of both kinds, and of prime-rl."""
    root = tmp_path_factory.mktemp("imported")
    (root / "presets").mkdir()
    shutil.copy(ROOT / "presets/tiny.yaml", root / "presets")
    shutil.copy(ROOT / "dvc.yaml", root)
    rows = [{"prompt": p, "response": t, "reward": r} for p in PROMPTS for t, r in zip(TEXTS, REWARDS, strict=True)]
    (root / "group.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_pairs(root / "single.jsonl", reward=0.5)
    write_pairs(root / "ours.jsonl", reward=0.5, answer="2")
    tokenizer = boxes()
    write_prime(root / "prime", lambda s: tokenizer.encode(s, add_special_tokens=False), tokenizer.eos_token_id)
    dumps = {
        "group": ["pairs", "group.jsonl"],
        "single": ["pairs", "single.jsonl"],
        "ours": ["pairs", "ours.jsonl", "--rewards", "ours"],
        "prime": ["prime-rl", "prime"],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("SNAKEDVC_PARAMS", raising=False)
        patch.delenv("SNAKEDVC_LOG_DIR", raising=False)
        for name, words in dumps.items():
            main(["import", *words, "--policy", str(checkpoint), "--name", name])
            score(name)
    return root


@pytest.fixture
def check(made, tmp_path, monkeypatch):
    """check(preset, table, field, row, value): the report after one value was changed, manifest and all."""
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.delenv("SNAKEDVC_PARAMS", raising=False)

    def run(preset: str, table: str = "", field: str = "", row: int = 0, value=None) -> Report:
        choose(preset, force=True)
        root = Path("artifacts") / preset
        if table:
            path = root / FOLDER[table] / table / STEP
            read = pq.read_table(path, partitioning=None)
            column = read[field].to_pylist()
            column[row] = value(column[row])
            kind = read.schema.field(field)
            pq.write_table(read.set_column(read.schema.get_field_index(field), kind, pa.array(column, kind.type)), path)
            write_manifest(root / FOLDER[table])
        checked = Checked(root, load_params())
        checked.everything()
        return checked.report

    return run


@pytest.mark.parametrize("preset", ["group", "single", "ours", "prime"])
def test_what_was_really_imported_has_nothing_wrong(check, preset):
    report = check(preset)
    assert not [str(finding) for finding in report.findings]
    kinds = ("files", "responses", "rewards", "advantages", "tokens", "attention", "given")
    assert all(report.compared[kind] > 0 for kind in kinds)


@pytest.mark.parametrize(
    ("preset", "table", "field", "value"),
    [
        ("group", "responses", "reward", lambda v: v + 0.5),
        ("group", "responses", "reward_raw", lambda v: -2.0),
        ("group", "responses", "correct", lambda v: not v),
        ("group", "responses", "answer", lambda v: "42"),
        ("group", "responses", "advantage", lambda v: v + 0.01),
        ("group", "responses", "finish_reason", lambda v: "length"),
        ("group", "responses", "sample", lambda v: 9),
        ("group", "sampled", "token_id", lambda v: v + 1),
        ("group", "sampled", "rollout_logprob", lambda v: -0.5),
        ("group", "tokens", "rollout_logprob", lambda v: -0.5),
        ("group", "tokens", "logprob", lambda v: float("nan")),
        ("single", "responses", "advantage", lambda v: 0.5),
        ("single", "responses", "reward", lambda v: 1.0),
        ("ours", "responses", "reward", lambda v: 0.5),
        ("prime", "responses", "reward", lambda v: 1.0),
        ("prime", "sampled", "rollout_logprob", lambda v: float("nan")),
        ("prime", "tokens", "rollout_logprob", lambda v: float("nan")),
    ],
)
def test_a_changed_value_is_named(check, preset, table, field, value):
    report = check(preset, table, field, 1, value)
    assert field in {finding.field for finding in report.findings}


def test_both_sides_changed_alike_are_told_by_the_file(check):
    check("group", "sampled", "rollout_logprob", 1, lambda v: -0.5)
    report = check("group", "tokens", "rollout_logprob", 1, lambda v: -0.5)
    (found,) = report.findings
    assert found.file.as_posix().endswith(f"sampled/{STEP}")
    assert (found.row, found.what) == (1, "-0.5, should be nan")


def test_a_file_that_is_gone_is_one_line_and_the_rest_is_compared(check):
    os.unlink("data/imported/group/responses.parquet")
    report = check("group", "responses", "advantage", 1, lambda v: v + 0.01)
    assert {finding.field for finding in report.findings} == {"file", "advantage"}
    said = [str(finding) for finding in report.findings if finding.field == "file"]
    assert said == ["data/imported/group/responses.parquet: file: no such file; run `spectrum import` again"]


def test_rows_that_are_missing_are_one_line(tmp_path):
    report = Report()
    report.same("x", tmp_path, "y", [1, 2], [1, 2, 3])
    assert [str(finding) for finding in report.findings] == [f"{tmp_path}: y: 2 rows, should be 3"]
    report.same("x", tmp_path, "z", ["a", float("nan"), 1.0, None], ["a", float("nan"), float("nan"), None])
    assert [(finding.row, finding.field) for finding in report.findings[1:]] == [(2, "z")]
