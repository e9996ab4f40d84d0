"""Table 1 through its stage: numbers against plain loops, what it refuses, and what the page says."""

import csv
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from results_fixtures import random_right, save_params, write_metrics, write_scores
from scipy import stats

from tokenspectrum.errors import UserError
from tokenspectrum.results.numbers import number
from tokenspectrum.results.table1.result import published
from tokenspectrum.results.tables import Tables
from tokenspectrum.stages import result
from tokenspectrum.tokenlog.writer import write_manifest

CSV, MD = Path("results/table1.csv"), Path("results/table1.md")


def make(artifacts, params) -> tuple[list[dict], str]:
    save_params(params)
    folders = ["--evaluate", "evaluate", "--evaluate_base", "evaluate_base", "--metrics", "metrics"]
    flags = [f if f.startswith("--") else str(artifacts / f) for f in folders]
    result.main(["tokenspectrum.results.table1.result", *flags, "--csv", str(CSV), "--md", str(MD)])
    with CSV.open() as f:
        # Stand-ins are marked in the heading; the tests go by the bare names.
        rows = [{k.removesuffix(" (stand-in)"): v for k, v in row.items()} for row in csv.DictReader(f)]
    return rows, MD.read_text()


def by_key(rows):
    return {(row["method"], row["seeds"]): row for row in rows}


def accuracies(folder) -> dict[str, float]:
    """Benchmark -> accuracy by plain loops: mean over samples of a problem, then over problems."""
    out = {}
    for path in folder.rglob("*.parquet"):
        problems: dict[str, list[int]] = {}
        for row in pq.ParquetFile(path).read().to_pylist():
            problems.setdefault(row["prompt_id"], []).append(int(row["correct"]))
        means = [sum(x) / len(x) for x in problems.values()]
        out[path.stem] = 100 * sum(means) / len(means)
    return out


def set_scores(artifacts, method, seed, right, step=4):
    folder = artifacts / "evaluate" / f"{method}-s{seed}"
    write_scores(folder, method, seed, step, right)
    write_manifest(folder)


def test_every_row_against_plain_loops_and_scipy(artifacts, params):
    rows, _ = make(artifacts, params)
    assert [(r["method"], r["seeds"]) for r in rows] == [
        ("base", "all"), ("full", "all"), ("explorer20", "all"), ("explorer20", "survivors")
    ]  # fmt: skip
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
        if row["method"] == "full":
            assert all(row[c] == "" for c in ("difference", "df", "p", "p_holm", "ci_low", "mdd", "boot_low"))
            continue
        expected = stats.ttest_rel(averages[row["method"]], averages["full"])
        interval = expected.confidence_interval(0.95)
        assert row["df"] == "1"
        assert float(row["t"]) == pytest.approx(expected.statistic, abs=1e-4)
        assert float(row["p"]) == pytest.approx(expected.pvalue, abs=1e-4)
        assert float(row["ci_low"]) == pytest.approx(interval.low, abs=1e-3)
        assert float(row["ci_high"]) == pytest.approx(interval.high, abs=1e-3)
        assert float(row["boot_low"]) <= float(row["difference"]) <= float(row["boot_high"])
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
    cited = published(Tables({}, (), (), "tokenspectrum.results.table1"))
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
    assert CSV.read_text().startswith("row,method,seeds,easy (stand-in),hard (stand-in),Avg,")
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


def test_one_seed_is_shown_but_not_tested(artifacts, params):
    rows, page = make(artifacts, params | {"seeds": [2]})
    for row in rows:
        assert row["n"] == "1"
        assert row["Avg"] != ""
        assert row["std"] == ""
        assert all(row[c] == "" for c in ("difference", "df", "t", "p", "p_holm", "ci_low", "mdd", "boot_low"))
    assert "No row could be tested" in page


def test_only_the_methods_in_params_have_rows(artifacts, params):
    rows, _ = make(artifacts, params | {"methods": ["full"]})
    assert [r["method"] for r in rows] == ["base", "full"]
    rows, page = make(artifacts, params | {"methods": ["explorer20"]})
    assert [r["method"] for r in rows] == ["base", "explorer20", "explorer20"]
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
    _, page = make(artifacts, params)
    assert "No row differs from Full-token DAPO after Holm at level 0.05; 3 rows were tested." in page
    params["analysis"]["table1"]["alpha"] = 0.4
    _, page = make(artifacts, params)
    assert "No row differs" not in page
    assert "Explorer 20 % is below Full-token DAPO by" in page


def test_collapsed_seeds_leave_the_survivors(artifacts, params):
    metrics = artifacts / "metrics/explorer20-s2"
    shutil.rmtree(metrics)
    write_metrics(metrics, "explorer20", 2, [10.0, 10.0, 4.0, 4.0], [0.0] * 4)
    rows, page = make(artifacts, params)
    rows = by_key(rows)
    assert (rows["explorer20", "all"]["n"], rows["explorer20", "all"]["collapsed"]) == ("2", "1")
    assert (rows["explorer20", "survivors"]["n"], rows["explorer20", "survivors"]["collapsed"]) == ("1", "0")
    only = accuracies(artifacts / "evaluate/explorer20-s1")
    assert float(rows["explorer20", "survivors"]["easy"]) == pytest.approx(only["easy"], abs=1e-4)
    assert "- explorer20, seed 2: length 10.0 to 4.0 tokens, reward 0.00 to 0.00" in page
    params["analysis"]["table1"]["collapse"]["length_below"] = 0.3
    assert by_key(make(artifacts, params)[0])["explorer20", "survivors"]["n"] == "2"
    params["analysis"]["table1"]["survivors"] = []
    assert len(make(artifacts, params)[0]) == 3


def test_when_all_seeds_collapse_the_survivors_row_is_blank(artifacts, params):
    for seed in (1, 2):
        metrics = artifacts / f"metrics/explorer20-s{seed}"
        shutil.rmtree(metrics)
        write_metrics(metrics, "explorer20", seed, [10.0] * 4, [1.0, 1.0, 0.0, 0.0])
    row = by_key(make(artifacts, params)[0])["explorer20", "survivors"]
    assert (row["n"], row["Avg"], row["easy"], row["p"]) == ("0", "", "", "")


@pytest.mark.parametrize(
    ("lengths", "rewards", "collapsed"),
    [
        ([10, 10, 10, 10], [0, 0, 0, 0], False),
        ([10, 10, 10, 10], [0.5, 0.5, -0.1, -0.1], True),
        ([10, 10, 10, 10], [0.5, 0.5, 0.1, 0.1], False),
        ([10, 10, 21, 21], [0, 0, 0, 0], True),
        ([10, 10, 19, 19], [0, 0, 0, 0], False),
        ([10, 10, 4.9, 4.9], [0, 0, 0, 0], True),
        ([10, 4.9], [0, 0], True),  # a window of half the run
        ([4.9], [0], False),
    ],
)
def test_the_rule_of_collapse(artifacts, params, lengths, rewards, collapsed):
    metrics = artifacts / "metrics/full-s1"
    shutil.rmtree(metrics)
    write_metrics(metrics, "full", 1, lengths, rewards)
    _, page = make(artifacts, params)
    assert ("- full, seed 1:" in page) == collapsed
    assert ("None of the 4 runs collapsed." in page) != collapsed


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


def remove_manifest(a):
    (a / "evaluate/full-s1/manifest.json").unlink()


def remove_folder(a):
    shutil.rmtree(a / "evaluate/explorer20-s2")


def damage(a):
    path = next((a / "evaluate/full-s2").rglob("hard.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def another_run(a):
    shutil.rmtree(a / "evaluate/full-s1")
    shutil.copytree(a / "evaluate/explorer20-s1", a / "evaluate/full-s1")


def one_sample_short(a):
    set_scores(a, "full", 1, {"easy": np.ones((6, 3)), "hard": np.ones((5, 3))})


def other_problems(a):
    set_scores(a, "full", 1, {"easy": np.ones((5, 4)), "hard": np.ones((5, 4))})


def no_benchmark(a):
    next((a / "evaluate/full-s1").rglob("hard.parquet")).unlink()
    write_manifest(a / "evaluate/full-s1")


def no_metrics(a):
    shutil.rmtree(a / "metrics/full-s1")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove_manifest, r"evaluate/full-s1: no manifest\.json"),
        (remove_folder, r"evaluate/explorer20-s2: no manifest\.json"),
        (damage, r"hard\.parquet: damaged"),
        (another_run, r"evaluate/full-s1/.*: not of run full seed 1"),
        (one_sample_short, r"problems have \[3, 4\] samples"),
        (other_problems, r"benchmark easy: not the problems of"),
        (no_benchmark, r"scores of run full seed 1: benchmark hard is in params or scores, not in both"),
        (no_metrics, r"metrics/full-s1: no manifest\.json"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(artifacts, params, spoil, message):
    spoil(artifacts)
    with pytest.raises(UserError, match=message) as e:
        make(artifacts, params)
    assert "\n" not in str(e.value)
    assert not CSV.exists()
    assert not MD.exists()


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


def test_the_stage_reads_only_the_sections_it_names(artifacts, params):
    save_params({k: v for k, v in params.items() if k not in ("rules", "train")})
    make(artifacts, yaml.safe_load(Path("params.yaml").read_text()))
