"""Table 1 through its stage: numbers against plain loops, what it refuses, and what the page says."""

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from results_fixtures import random_right, save_params, write_scores
from scipy import stats
from table1_kit import CSV, MD, accuracies, by_key, collapse, make, plant, set_scores

from tokenspectrum.errors import UserError
from tokenspectrum.results.csvfile import read_plain, to_csv
from tokenspectrum.results.declare import Column
from tokenspectrum.results.numbers import number
from tokenspectrum.results.published import published
from tokenspectrum.results.sources import Wanted
from tokenspectrum.results.tables import Tables
from tokenspectrum.tokenlog.writer import write_manifest


def test_every_row_against_plain_loops_and_scipy(artifacts, params):
    rows, _ = make(artifacts, params)
    assert [(r["method"], r["replicates"]) for r in rows] == [("base", "all"), ("full", "all"), ("explorer20", "all")]
    folders = {
        "base": [artifacts / f"evaluate_base/s{s}" for s in (1, 2)],
        "full": [artifacts / f"evaluate/full-s{s}" for s in (1, 2)],
        "explorer20": [artifacts / f"evaluate/explorer20-s{s}" for s in (1, 2)],
    }
    averages = {}
    for method, paths in folders.items():
        seeds = [accuracies(p) for p in paths]
        averages[method] = [(x["easy"] + x["hard"]) / 2 for x in seeds]
        row = by_key(rows)[method, "all"]
        for benchmark in ("easy", "hard"):
            assert float(row[benchmark]) == pytest.approx(sum(x[benchmark] for x in seeds) / 2, abs=1e-4)
        assert float(row["Avg"]) == pytest.approx(sum(averages[method]) / 2, abs=1e-4)
        assert row["n"] == "2"
        assert float(row["std"]) == pytest.approx(
            abs(averages[method][0] - averages[method][1]) / math.sqrt(2), abs=1e-4
        )
    p_values = []
    for row in rows:
        assert (row["n"], row["bases"], row["boot_low"], row["boot_high"]) == ("2", "2", "", "")
        if row["method"] == "full":
            assert all(row[c] == "" for c in ("against", "difference", "sign", "df", "p", "p_holm", "ci_low", "mdd"))
            continue
        each = [a - b for a, b in zip(averages[row["method"]], averages["full"], strict=True)]
        assert row["against"] == "full"
        assert float(row["difference"]) == pytest.approx(sum(each) / 2, abs=1e-4)
        assert row["bases_above"] == str(sum(d > 0 for d in each))
        assert row["sign"] == ("same" if (each[0] > 0) == (each[1] > 0) else "differs")
        assert float(row["p_flip"]) == (0.5 if (each[0] > 0) == (each[1] > 0) else 1.0)
        assert (row["sd_bases"], row["sd_seeds"]) == ("", "")  # one seed a base: they cannot be told apart
        expected = stats.ttest_rel(averages[row["method"]], averages["full"])
        interval = expected.confidence_interval(0.95)
        assert row["df"] == "1"
        assert float(row["t"]) == pytest.approx(expected.statistic, abs=1e-4)
        assert float(row["p"]) == pytest.approx(expected.pvalue, abs=1e-4)
        assert float(row["ci_low"]) == pytest.approx(interval.low, abs=1e-3)
        assert float(row["ci_high"]) == pytest.approx(interval.high, abs=1e-3)
        p_values.append((expected.pvalue, float(row["p_holm"])))
    ordered = sorted(p_values)
    running = 0.0
    for rank, (p, p_holm) in enumerate(ordered):
        running = max(running, min(1.0, (len(ordered) - rank) * p))
        assert p_holm == pytest.approx(running, abs=1e-4)


def test_the_same_inputs_give_the_same_bytes(artifacts, params):
    make(artifacts, params)
    first = CSV.read_bytes(), MD.read_bytes()
    make(artifacts, params)
    assert (CSV.read_bytes(), MD.read_bytes()) == first


def test_published_figures_stand_apart_with_their_family(artifacts, params):
    collapse(artifacts, "explorer20", 2)
    rows, page = make(artifacts, params)
    full, survivors = by_key(rows)["full", "all"], by_key(rows)["explorer20", "survivors"]
    assert (full["published_family"], full["published_avg"], full["published_avg_sd"]) == (
        "intervention", "34.3900", "0.4700"
    )  # fmt: skip
    assert (survivors["published_family"], survivors["published_aime"], survivors["published_full_aime"]) == (
        "selective", "12.3100", "5.8300"
    )  # fmt: skip
    assert by_key(rows)["explorer20", "all"]["published_family"] == ""
    measured, cited = page.split("## Published, not measured here")
    assert "34.39" not in measured
    assert "34.39 ± 0.47" in cited
    assert "12.31 ± 0.53" in cited


def test_every_figure_that_is_cited(artifacts):
    cited = published(Tables({}, Wanted(), "tokenspectrum.results.table1"))
    assert {k: (v["published_avg"], v["published_full_avg"]) for k, v in cited.items()} == {
        ("full", "all"): (34.39, None),
        ("random20", "all"): (42.60, 43.55),
        ("explorer20", "survivors"): (None, None),
        ("pred_high20", "all"): (34.35, 34.39),
        ("low2high_shallow", "all"): (37.40, 34.39),
        ("low2high_mid", "all"): (37.15, 34.39),
    }
    high = cited["pred_high20", "all"]
    assert (high["published_math"], high["published_aime"]) == (74.41, 1.84)
    assert {v["published_family"] for v in cited.values()} == {"selective", "intervention"}


def test_stand_ins_are_called_that(artifacts, params):
    rows, page = make(artifacts, params)
    assert {row["benchmarks"] for row in rows} == {"synthetic stand-ins"}
    assert CSV.read_text().startswith("row,method,replicates,easy (stand-in),hard (stand-in),Avg,")
    assert "**All benchmarks here: synthetic stand-ins" in page
    assert "easy (synthetic stand-in for math; 6 problems)" in page
    assert "| easy (stand-in) | hard (stand-in) |" in page
    params["prompts"]["benchmarks"][1]["source"] = {"kind": "file", "path": "x.jsonl", "format": "aime24"}
    rows, page = make(artifacts, params)
    assert {row["benchmarks"] for row in rows} == {"real and synthetic stand-ins"}
    assert "**easy: synthetic stand-ins" in page
    assert "| easy (stand-in) | hard |" in page
    params["prompts"]["benchmarks"][0]["source"] = {"kind": "hub", "path": "x", "format": "math"}
    rows, page = make(artifacts, params)
    assert {row["benchmarks"] for row in rows} == {"real"}
    assert "stand-in" not in page
    assert {(r["preset"], r["policy"]) for r in rows} == {("small", "tiny")}
    assert any(row["published_family"] for row in rows)


def test_own_benchmarks_and_policies_go_by_their_names_and_no_published_figure_stands_beside_them(artifacts, params):
    params["prompts"]["benchmarks"][1]["source"] = {"kind": "file", "path": "x.jsonl", "format": "simple"}
    params["policy"] = {"kind": "hub", "source": "/models/my-policy", "num_layers": 4}
    rows, page = make(artifacts, params)
    assert {(row["policy"], row["benchmarks"]) for row in rows} == {("my-policy", "own and synthetic stand-ins")}
    assert not any(value for row in rows for name, value in row.items() if name.startswith("published_"))
    assert "| easy (stand-in) | hard |" in page
    assert page.startswith("# Table 1\n\nPreset `small`, policy `my-policy`.\n\nBenchmarks: ")
    assert "hard (your own file; 5 problems)" in page
    assert page.endswith("No published figure is shown: none is of hard.\n")


def test_only_the_methods_in_params_have_rows(artifacts, params):
    rows, _ = make(artifacts, params | {"methods": ["full"]})
    assert [r["method"] for r in rows] == ["base", "full"]
    rows, page = make(artifacts, params | {"methods": ["explorer20"]})
    assert [r["method"] for r in rows] == ["base", "explorer20"]
    assert all(row["p"] == "" for row in rows)
    assert "No row could be tested" in page


def test_stale_folders_of_other_runs_are_not_read(artifacts, params):
    first = make(artifacts, params)
    for name in ("evaluate/gone-s1", "evaluate/full-s9"):
        (artifacts / name).mkdir()
        (artifacts / name / "junk.parquet").write_bytes(b"junk")
    assert make(artifacts, params) == first


def test_scores_of_about_zero_are_called_that(artifacts, params):
    rng = np.random.default_rng(0)
    for seed in (1, 2):
        for method in ("full", "explorer20"):
            set_scores(artifacts, method, seed, random_right(rng, 0.0))
        write_scores(artifacts / f"evaluate_base/s{seed}", "base", seed, 0, random_right(rng, 0.0))
        write_manifest(artifacts / f"evaluate_base/s{seed}")
    rows, page = make(artifacts, params)
    assert "Accuracy is about zero: the highest Avg is 0.00 %, and 0 of 264 samples are right" in page
    # Differences without spread have no t.
    assert {row["p"] for row in rows} == {""}
    assert by_key(rows)["explorer20", "all"]["difference"] == "0.0000"
    params["analysis"]["table1"]["about_zero"] = 0.0
    right = random_right(rng, 0.0)
    right["easy"][0, 0] = 1
    set_scores(artifacts, "full", 1, right)
    assert "about zero" not in make(artifacts, params)[1]


def test_findings_follow_the_numbers(artifacts, params):
    easy = {"full": [12, 12, 12], "explorer20": [11, 8, 10], "base": [11, 4, 9]}
    plant(artifacts, params, [4, 5, 6], easy)
    _, page = make(artifacts, params)
    assert "No difference passes Holm at level 0.05; 2 rows were tested." in page
    params["analysis"]["table1"]["alpha"] = 0.4
    _, page = make(artifacts, params)
    assert "No difference passes" not in page
    assert f"Explorer 20 % against Full-token DAPO: below by {7 / 3 * 100 / 24 / 2:.2f} points, CI" in page


def test_the_last_checkpoints_are_averaged(artifacts, params):
    rng = np.random.default_rng(7)
    for seed in (1, 2):
        for method in ("full", "explorer20"):
            set_scores(artifacts, method, seed, random_right(rng, 0.5), step=2)
    last = by_key(make(artifacts, params)[0])["full", "all"]
    params["analysis"]["table1"]["last_checkpoints"] = 2
    rows, page = make(artifacts, params)
    both = by_key(rows)["full", "all"]
    expected = np.mean([
        accuracies(artifacts / f"evaluate/full-s{s}/scores/run=full/seed={s}/step={step}")["easy"]
        for s in (1, 2) for step in (2, 4)
    ])  # fmt: skip
    assert float(both["easy"]) == pytest.approx(expected, abs=1e-4)
    assert both["easy"] != last["easy"]
    assert "over the last 2 checkpoints" in page
    params["analysis"]["table1"]["last_checkpoints"] = 3
    with pytest.raises(UserError, match=r"full-s1: 2 evaluated checkpoints.*asks for 3|explorer20-s1: 2 evaluated"):
        make(artifacts, params)


def test_disagreements_of_the_verifiers_are_counted(artifacts, params):
    path = next((artifacts / "evaluate/full-s1").rglob("easy.parquet"))
    table = pq.ParquetFile(path).read()
    flipped = table["correct_alt"].to_pylist()
    flipped[:3] = [not x for x in flipped[:3]]
    index = table.schema.get_field_index("correct_alt")
    pq.write_table(table.set_column(index, table.schema.field(index), [flipped]), path)
    write_manifest(artifacts / "evaluate/full-s1")
    assert "disagree on 3 of 264 samples" in make(artifacts, params)[1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (3, "3"),
        (1.5, "1.5000"),
        (-0.0, "0.0000"),
        (-1e-14, "0.0000"),
        (2e-6, "2.000e-06"),
        (0.00012, "0.0001"),
    ],
)
def test_numbers_as_text(value, text):
    assert number(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_one_line_and_never_zero(value):
    columns = (Column("run", str, "a run"), Column("cosine", float, "a cosine"))
    with pytest.raises(UserError, match=f"^column cosine of the result is {value}, in the row of run full: "):
        to_csv(columns, [{"run": "full", "cosine": value}])


def test_a_plain_csv_has_names_that_python_reads_as_numbers(tmp_path):
    path = tmp_path / "seeds.csv"
    path.write_text("method,n,value\nnan,3,0.5\n10_20,4,2.000e-06\n")
    assert [list(row.values()) for row in read_plain(path)] == [["nan", 3, 0.5], ["10_20", 4, 2e-6]]


def test_the_stage_reads_only_the_sections_it_names(artifacts, params):
    save_params({k: v for k, v in params.items() if k not in ("rules", "train")})
    make(artifacts, yaml.safe_load(Path("params.yaml").read_text()))
