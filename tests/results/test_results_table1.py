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
from tokenspectrum.results.published import published
from tokenspectrum.results.sources import Wanted
from tokenspectrum.results.statistics import holm
from tokenspectrum.results.tables import Tables
from tokenspectrum.stages import result
from tokenspectrum.tokenlog.writer import write_manifest

CSV, JSON, MD = Path("results/table1.csv"), Path("results/table1.json"), Path("results/table1.md")


def make(artifacts, params) -> tuple[list[dict], str]:
    save_params(params)
    folders = ["--evaluate", "evaluate", "--evaluate_base", "evaluate_base", "--metrics", "metrics"]
    flags = [f if f.startswith("--") else str(artifacts / f) for f in folders]
    result.main(
        ["tokenspectrum.results.table1.result", *flags, "--csv", str(CSV), "--json", str(JSON), "--md", str(MD)]
    )
    with CSV.open() as f:
        # Stand-ins are marked in the heading; the tests go by the bare names.
        rows = [{k.removesuffix(" (stand-in)"): v for k, v in row.items()} for row in csv.DictReader(f)]
    return rows, MD.read_text()


def by_key(rows):
    return {(row["method"], row["replicates"]): row for row in rows}


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


def set_run(artifacts, method, seed, right):
    """The scores of one training, or of the base policy, and metrics that do not collapse."""
    if method == "base":
        folder = artifacts / f"evaluate_base/s{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        write_scores(folder, "base", seed, 0, right)
        write_manifest(folder)
        return
    shutil.rmtree(artifacts / f"evaluate/{method}-s{seed}", ignore_errors=True)
    set_scores(artifacts, method, seed, right)
    if not (metrics := artifacts / f"metrics/{method}-s{seed}").exists():
        write_metrics(metrics, method, seed, [10.0] * 4, [0.0] * 4)


def plant(artifacts, params, bases, easy):
    """Runs of seeds 1, 2, ... on `bases`; `easy[method][i]` of the 24 samples on easy are right, and 10 of hard's 20.

    A sample of easy is 100 / 24 / 2 points of Avg.  Right ones are dealt to its six problems in turn, so that a
    difference of 3 samples or more is beyond the noise of problems.
    """
    params["replicates"] = [{"seed": seed, "base": base} for seed, base in enumerate(bases, 1)]
    params["methods"] = [method for method in easy if method != "base"]
    params["rules"] |= {method: {"kind": "uniform"} for method in params["methods"]}
    hard = np.arange(20).reshape(5, 4) < 10
    for method, counts in easy.items():
        for seed, count in enumerate(counts, 1):
            set_run(artifacts, method, seed, {"easy": count > np.arange(24).reshape(4, 6).T, "hard": hard})


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


def test_one_replicate_is_shown_but_not_tested(artifacts, params):
    rows, page = make(artifacts, params | {"replicates": [{"seed": 2, "base": 8}]})
    for row in rows:
        assert (row["n"], row["bases"]) == ("1", "1")
        assert row["Avg"] != ""
        assert row["std"] == ""
        assert (row["difference"] != "") == (row["method"] != "full")
        assert all(row[c] == "" for c in ("sign", "df", "t", "p", "p_holm", "p_flip", "ci_low", "mdd", "boot_low"))
    assert "No row could be tested" in page
    assert "1 here, on one base policy. **One base policy: nothing here speaks of another.**" in page


def test_a_sign_that_differs_between_bases_is_marked_and_one_that_is_the_same_is_said(artifacts, params):
    easy = {"full": [12, 12, 12], "explorer20": [18, 6, 15], "random20": [9, 6, 9], "base": [2, 1, 3]}
    plant(artifacts, params, [4, 5, 6], easy)
    rows, page = make(artifacts, params)
    rows = by_key(rows)
    explorer, random = rows["explorer20", "all"], rows["random20", "all"]
    assert (explorer["sign"], explorer["bases"], explorer["bases_above"]) == ("differs", "3", "2")
    assert (random["sign"], random["bases"], random["bases_above"]) == ("same", "3", "0")
    assert "| **2 of 3** |" in page
    assert page.count("**2 of 3**") == 1
    assert "| 0 of 3 |" in page
    step = 100 / 24 / 2
    noise = step * math.sqrt(6 * 0.3)  # of six problems, three are 0.25 better
    each = (
        f"{6 * step:+.2f} ± 0.00 on base 4, {-6 * step:+.2f} ± 0.00 on base 5, {3 * step:+.2f} ± {noise:.2f} on base 6"
    )
    findings = page.split("## Findings")[1].split("## Collapse")[0]
    assert f"- **Explorer 20 % against Full-token DAPO: the sign differs between base policies**: {each}.\n" in findings
    assert (
        "- The same sign on every base policy: Base policy against Full-token DAPO (below); random20 against"
        " Full-token DAPO (below).\n" in findings
    )
    assert "3 here, on 3 base policies." in page
    assert "One base policy: nothing" not in page


def test_a_difference_of_0_has_no_sign_to_share(artifacts, params):
    plant(artifacts, params, [4, 5], {"full": [12, 12], "explorer20": [12, 12], "random20": [12, 9], "base": [1, 2]})
    rows, page = make(artifacts, params)
    rows = by_key(rows)
    assert (rows["explorer20", "all"]["sign"], rows["explorer20", "all"]["bases_above"]) == ("", "0")
    assert (rows["random20", "all"]["sign"], rows["random20", "all"]["bases_above"]) == ("unclear", "0")
    assert "Explorer 20 % against Full-token DAPO" not in page


def test_a_difference_that_other_problems_could_turn_has_no_sign(artifacts, params):
    """Base 4 is one sample below; base 5 is far above: neither the same sign nor different ones."""
    plant(artifacts, params, [4, 5], {"full": [12, 12], "explorer20": [11, 18], "base": [1, 2]})
    rows, page = make(artifacts, params)
    assert by_key(rows)["explorer20", "all"]["sign"] == "unclear"
    step = 100 / 24 / 2
    # One problem of six is 0.25 worse: the standard error of easy is 0.25 sqrt(1/6 - 1/36) / sqrt(5) = one sample.
    assert (
        f"No sign on some base policy, as problems could turn it: Explorer 20 % against Full-token DAPO ({-step:+.2f}"
        in page
    )
    assert f"({-step:+.2f} ± {step:.2f} on base 4, {6 * step:+.2f} ± 0.00 on base 5)" in page
    assert "**1 of 2**" not in page


def test_a_base_counts_by_the_mean_of_its_replicates_and_its_part_stands_beside_that_of_seeds(artifacts, params):
    # Differences in steps: base 4 has +12, -3 and so is above; base 5 has -6, -6 and is below.
    easy = {"full": [12, 12, 12, 12], "explorer20": [24, 6, 9, 6], "base": [0, 1, 2, 3]}
    plant(artifacts, params, [4, 5, 4, 5], easy)
    rows, page = make(artifacts, params)
    row = by_key(rows)["explorer20", "all"]
    step = 100 / 24 / 2
    assert (row["n"], row["bases"], row["sign"], row["bases_above"]) == ("4", "2", "differs", "1")
    noise = step * math.sqrt(6 * 0.3) / 2  # of the mean of two replicates, one without any
    assert f"{4.5 * step:+.2f} ± {noise:.2f} on base 4, {-6 * step:+.2f} ± 0.00 on base 5." in page
    within = (7.5**2 + 7.5**2) / 2  # over n - B = 2
    between = 2 * (5.25**2 + 5.25**2) / 1
    assert float(row["sd_seeds"]) == pytest.approx(step * math.sqrt(within), abs=1e-3)
    assert float(row["sd_bases"]) == pytest.approx(step * math.sqrt((between - within) / 2), abs=1e-3)
    assert "| sd bases | sd seeds |" in page
    assert "Replicates on one base policy are not independent where base policies differ" in page


def test_one_base_speaks_of_no_other_and_has_no_sign(artifacts, params):
    plant(artifacts, params, [4, 4], {"full": [12, 12], "explorer20": [14, 15], "base": [1, 2]})
    rows, page = make(artifacts, params)
    row = by_key(rows)["explorer20", "all"]
    assert (row["bases"], row["bases_above"], row["sign"], row["sd_bases"]) == ("1", "1", "", "")
    assert float(row["sd_seeds"]) == pytest.approx(100 / 24 / 2 / math.sqrt(2), abs=1e-3)
    assert "2 here, on one base policy. **One base policy: nothing here speaks of another.**" in page
    assert "same sign" not in page


def test_the_bootstrap_is_blank_below_six_replicates_and_there_from_six_on(artifacts, params):
    full, explorer, base = [12, 11, 13, 12, 10, 12], [14, 15, 11, 16, 13, 12], [1, 2, 3, 1, 2, 3]
    for n in (5, 6):
        plant(
            artifacts, params, [4, 5, 6, 4, 5, 6][:n], {"full": full[:n], "explorer20": explorer[:n], "base": base[:n]}
        )
        rows, page = make(artifacts, params)
        row = by_key(rows)["explorer20", "all"]
        if n < 6:
            assert (row["boot_low"], row["boot_high"]) == ("", "")
            assert "| bootstrap CI |" not in page
            assert "No bootstrap interval is given: of fewer than 6 replicates it is known to be too narrow." in page
        else:
            assert float(row["boot_low"]) < float(row["difference"]) < float(row["boot_high"])
            assert "| bootstrap CI |" in page
            assert "No bootstrap interval" not in page
        assert f"With n = {n} it cannot fall below {0.5 ** (n - 1):g}" in page
        assert ("so it can never pass 5 %" in page) == (n < 6)


def test_contrasts_test_two_methods_against_each_other_and_count_in_the_family(artifacts, params):
    easy = {"full": [12, 11, 12], "explorer20": [14, 16, 16], "random20": [9, 10, 11], "base": [2, 1, 3]}
    plant(artifacts, params, [4, 5, 6], easy)
    own = params["analysis"]["table1"]
    own["contrasts"] = [["explorer20", "random20"], ["explorer20", "untrained"]]
    rows, page = make(artifacts, params)
    assert [row["row"] for row in rows] == [
        "Base policy", "Full-token DAPO", "Explorer 20 %", "random20", "Explorer 20 % against random20"
    ]  # fmt: skip
    row = rows[-1]
    assert (row["method"], row["against"], row["sign"], row["bases_above"]) == ("explorer20", "random20", "same", "3")
    assert all(row[name] == "" for name in ("easy", "hard", "Avg", "std", "published_family"))
    assert (row["n"], row["bases"]) == ("3", "3")
    step = 100 / 24 / 2
    expected = stats.ttest_rel(np.array(easy["explorer20"]) * step, np.array(easy["random20"]) * step)
    assert float(row["difference"]) == pytest.approx(step * (5 + 6 + 5) / 3, abs=1e-3)
    assert float(row["p"]) == pytest.approx(expected.pvalue, abs=1e-4)
    assert float(row["p_flip"]) == 0.25
    tested = [r for r in rows if r["p"]]
    assert len(tested) == 4
    adjusted = holm([float(r["p"]) for r in tested])
    assert [float(r["p_holm"]) for r in tested] == pytest.approx(adjusted, abs=5e-4)
    assert "p Holm is adjusted over the 4 tested rows of this table." in page
    own["contrasts"] = []
    without = make(artifacts, params)[0]
    assert len(without) == 4
    assert "3 tested rows" in MD.read_text()
    before = {row["method"]: row["p_holm"] for row in tested[:-1]}
    assert any(row["p_holm"] != before.get(row["method"], row["p_holm"]) for row in without)


def test_the_number_of_a_base_policy_is_no_seed(artifacts, params):
    """Bases swapped between replicates change what is said of bases, and no accuracy."""
    easy = {"full": [12, 12, 12, 12], "explorer20": [20, 19, 10, 9], "base": [0, 1, 2, 3]}
    plant(artifacts, params, [4, 4, 5, 5], easy)
    apart, _ = make(artifacts, params)
    plant(artifacts, params, [4, 5, 4, 5], easy)
    mixed, _ = make(artifacts, params)
    of_bases = {"bases_above", "sign", "sd_bases", "sd_seeds"}
    for one, other in zip(apart, mixed, strict=True):
        assert {k for k in one if one[k] != other[k]} <= of_bases
    assert by_key(apart)["explorer20", "all"]["sign"] == "differs"
    assert by_key(mixed)["explorer20", "all"]["sign"] == "same"


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


def collapse(artifacts, method, seed):
    """Metrics of a run whose responses become short."""
    metrics = artifacts / f"metrics/{method}-s{seed}"
    shutil.rmtree(metrics)
    write_metrics(metrics, method, seed, [10.0, 10.0, 4.0, 4.0], [0.0] * 4)


def test_collapsed_replicates_leave_the_survivors(artifacts, params):
    collapse(artifacts, "explorer20", 2)
    rows, page = make(artifacts, params)
    rows = by_key(rows)
    assert rows["explorer20", "survivors"]["bases"] == "1"
    assert (rows["explorer20", "all"]["n"], rows["explorer20", "all"]["collapsed"]) == ("2", "1")
    assert (rows["explorer20", "survivors"]["n"], rows["explorer20", "survivors"]["collapsed"]) == ("1", "0")
    only = accuracies(artifacts / "evaluate/explorer20-s1")
    assert float(rows["explorer20", "survivors"]["easy"]) == pytest.approx(only["easy"], abs=1e-4)
    assert "- explorer20, seed 2: length 10.0 to 4.0 tokens, reward 0.00 to 0.00" in page
    params["analysis"]["table1"]["collapse"]["length_below"] = 0.3
    # A row of survivors only where something collapsed.
    assert ("explorer20", "survivors") not in by_key(make(artifacts, params)[0])
    params["analysis"]["table1"]["collapse"]["length_below"] = 0.5
    assert len(make(artifacts, params)[0]) == 4
    params["analysis"]["table1"]["survivors"] = []
    assert len(make(artifacts, params)[0]) == 3


def test_when_all_replicates_collapse_the_survivors_row_is_blank(artifacts, params):
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
