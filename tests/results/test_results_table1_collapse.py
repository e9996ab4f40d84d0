"""Table 1 where runs collapsed, and where its input is bad."""

import shutil

import numpy as np
import pytest
from results_fixtures import write_metrics
from table1_kit import CSV, MD, accuracies, by_key, collapse, make, set_scores

from tokenspectrum.errors import UserError
from tokenspectrum.tokenlog.writer import write_manifest


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
