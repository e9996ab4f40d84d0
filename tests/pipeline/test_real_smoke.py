"""Real problems through the whole DAG: MATH training prompts, four real benchmarks, the token log and the table."""

import csv
import os
from pathlib import Path

import pyarrow.compute as pc
import pytest
from pipeline_kit import ROOT, make_clone

from tokenspectrum.tokenlog.reader import read_file, read_table

DATA = Path(os.environ.get("TOKENSPECTRUM_DATA", ROOT.parent / "shared/data"))
BENCHMARKS = ("MATH", "Minerva", "OlympiadBench", "AIME24")


@pytest.fixture(scope="module")
def clone(tmp_path_factory, warm):
    if not (DATA / "benchmarks/math.jsonl").is_file():
        pytest.skip(f"NO REAL DATA: {DATA} lacks benchmarks/math.jsonl; set TOKENSPECTRUM_DATA to a folder that has it")
    clone = make_clone(tmp_path_factory.mktemp("real") / "clone", "real-smoke", warm)
    clone.params(lambda p: p["prompts"].update(folder=str(DATA)))
    clone.make()
    return clone


def test_table_has_every_row_and_says_that_accuracy_is_about_zero(clone):
    rows = list(csv.DictReader((clone.root / "results/table1.csv").open()))
    assert {"base policy", "full-token DAPO", "low2high mid"} <= {r["row"] for r in rows}
    measured = [r for r in rows if r["n"]]
    assert measured
    for row in measured:
        values = [float(row[b]) for b in BENCHMARKS]
        assert float(row["Avg"]) == pytest.approx(sum(values) / 4, abs=0.006)
        assert max(values) < 10
    assert "about zero" in (clone.root / "results/table1.md").read_text()


def test_sixteen_problems_of_each_benchmark_and_eight_samples_of_each_problem(clone):
    scores = read_table(clone.root / "artifacts/real-smoke/evaluate/full-s1", "scores")
    for benchmark in BENCHMARKS:
        rows = scores.filter(pc.equal(scores["benchmark"], benchmark))
        assert len(set(rows["prompt_id"].to_pylist())) == 16
        assert rows.num_rows == 16 * 8


def test_every_trained_token_is_in_the_log(clone):
    root = clone.root / "artifacts/real-smoke/train/low2high_mid-s1/tokenlog"
    responses, tokens, attention = (read_table(root, t) for t in ("responses", "tokens", "attention"))
    assert set(tokens["step"].to_pylist()) == {1, 2, 3}
    assert tokens.num_rows == pc.sum(responses["n_tokens"]).as_py() == attention.num_rows
    assert pc.max(responses["n_prompt"]).as_py() > 100


def test_prompts_are_those_of_the_files(clone):
    folder = clone.root / "artifacts/real-smoke/prompts"
    sources = {b: set(read_file(folder / f"benchmarks/{b}.parquet")["data_source"].to_pylist()) for b in BENCHMARKS}
    assert sources == {
        "MATH": {"math"},
        "Minerva": {"minerva_math"},
        "OlympiadBench": {"olympiadbench"},
        "AIME24": {"aime24"},
    }
