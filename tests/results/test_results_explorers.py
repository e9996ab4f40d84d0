"""Runs judged one by one: the three modes, groups against loops, and the replicates on their own (result seeds)."""

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from results_fixtures import random_right, save_params, write_metrics, write_scores
from scipy import stats

from tokenspectrum.results.collapse import LATE, SHORT, UNSTABLE, Verdict, judge
from tokenspectrum.results.options import CollapseParams
from tokenspectrum.results.sources import SOURCES
from tokenspectrum.stages import result as stage
from tokenspectrum.tokenlog.writer import write_manifest

RULE = CollapseParams(window=2, length_below=0.5, length_above=1.6, reward_drop=0.3)
FLAT = [0.0] * 8


def make(artifacts, params, name="explorers", **own) -> list[dict]:
    params["analysis"].setdefault(name, {}).update(own)
    save_params(params)
    sources = ["evaluate", "evaluate_base"]
    sources += ["evaluate_more", "metrics", "metrics_more"] if name == "explorers" else ["vocab"]
    words = [word for source in sources for word in (f"--{source}", f"{artifacts}/{SOURCES[source].folder}")]
    words += ["--csv", f"results/{name}.csv", *["--png", f"results/{name}.png"] * (name == "explorers")]
    stage.main([f"tokenspectrum.results.{name}.result", *words])
    with Path(f"results/{name}.csv").open() as f:
        return list(csv.DictReader(f))


def of(rows, **wanted) -> list[dict]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


@pytest.mark.parametrize(
    ("lengths", "rewards", "verdict"),
    [
        ([10] * 8, FLAT, Verdict()),
        ([10, 10, 9, 6, 4, 4, 4, 4], FLAT, Verdict(SHORT, 6)),
        ([10, 10, 4, 4, 10, 10, 10, 10], FLAT, Verdict()),  # it recovered
        ([10, 10, 17, 17, 10, 10, 10, 10], FLAT, Verdict(UNSTABLE, 4)),  # it recovered, and was unstable
        ([10] * 8, [0, 0, 0.5, 0.5, 0.4, 0.1, 0.1, 0.1], Verdict(LATE, 7)),
        ([10] * 8, [0, 0, 0.5, 0.5, 0.1, 0.1, 0.5, 0.5], Verdict()),
        # The first of the three that holds.
        ([10, 10, 17, 17, 4, 4, 4, 4], [1, 1, 1, 1, 0, 0, 0, 0], Verdict(SHORT, 6)),
        ([10], [0.0], Verdict()),
    ],
)
def test_the_three_modes(lengths, rewards, verdict):
    assert judge(lengths, rewards, RULE) == verdict


@pytest.mark.parametrize(
    ("change", "lengths", "rewards"),
    [
        ({"length_below": 0.3}, [10] * 4 + [4] * 4, FLAT),
        ({"length_above": 2.0}, [10] * 4 + [17] * 4, FLAT),
        ({"reward_drop": 0.6}, [10] * 8, [0.5] * 4 + [0.1] * 4),
        ({"window": 4}, [10] * 6 + [4] * 2, FLAT),
    ],
)
def test_every_number_of_the_rule_counts(change, lengths, rewards):
    assert judge(lengths, rewards, RULE).mode is not None
    assert judge(lengths, rewards, RULE.model_copy(update=change)).mode is None


def average(folder: Path) -> float:
    means = []
    for path in folder.rglob("*.parquet"):
        means.append(np.mean([row["correct"] for row in pq.ParquetFile(path).read().to_pylist()]))
    return 100 * float(np.mean(means))


@pytest.fixture
def four(artifacts, params):
    """Four replicates on two base policies; the explorers of seeds 2 and 4 collapse."""
    rng = np.random.default_rng(0)
    params["replicates"] = [{"seed": seed, "base": 7 + seed % 2} for seed in (1, 2, 3, 4)]
    for seed in (1, 2, 3, 4):
        roots = {run: artifacts / f"evaluate/{run}-s{seed}" for run in ("full", "explorer20")}
        for run, root in (roots | {"base": artifacts / f"evaluate_base/s{seed}"}).items():
            step = 0 if run == "base" else 4
            write_scores(root, run, seed, step, random_right(rng, 0.6))
            write_manifest(root)
        for run in ("full", "explorer20"):
            lengths = [10.0, 10.0, 4.0, 4.0] if (run, seed % 2) == ("explorer20", 0) else [10.0, 10.0, 11.0, 11.0]
            write_metrics(artifacts / f"metrics/{run}-s{seed}", run, seed, lengths, [0.0] * 4)
    return artifacts, params


def test_runs_groups_and_shares_against_loops(four):
    artifacts, params = four
    rows = make(artifacts, params)
    assert [(r["seed"], r["mode"]) for r in of(rows, what="run", method="explorer20", metric="Avg")] == [
        ("1", "none"), ("2", SHORT), ("3", "none"), ("4", SHORT)
    ]  # fmt: skip
    (share,) = of(rows, what="collapse", method="explorer20")
    ends = stats.binomtest(2, 4).proportion_ci(0.95, "exact")
    assert (share["collapsed"], share["n"], float(share["mean"])) == ("2", "4", 50)
    assert (float(share["low"]), float(share["high"])) == pytest.approx((100 * ends.low, 100 * ends.high), abs=1e-3)
    own, full = ([average(artifacts / f"evaluate/{m}-s{s}") for s in (1, 3)] for m in ("explorer20", "full"))
    (row,) = of(rows, what="group", method="explorer20", group="survivors", metric="Avg")
    assert (row["n"], row["bases"], row["collapsed"]) == ("2", "1", "0")
    assert float(row["mean"]) == pytest.approx(np.mean(own), abs=1e-3)
    assert float(row["against_mean"]) == pytest.approx(np.mean(full), abs=1e-3)
    assert float(row["difference"]) == pytest.approx(np.mean(own) - np.mean(full), abs=1e-3)
    assert float(row["p"]) == pytest.approx(stats.ttest_rel(own, full).pvalue, abs=1e-4)
    assert of(rows, what="group", method="full", group="collapsed") == []
    (mean,) = of(rows, what="curve", method="explorer20", metric="length", group="collapsed", step="3")
    assert (float(mean["mean"]), mean["n"]) == (4.0, "2")
    assert len(of(rows, what="curve", method="explorer20", metric="length", seed="1")) == 4


def test_extra_runs_are_counted_and_paired_where_the_reference_ran(four):
    artifacts, params = four
    extra = [("explorer20", 11), ("explorer20", 12), ("full", 11)]
    params["extra_runs"] = [{"run": f"{m}-s{s}", "method": m, "seed": s, "base": 7} for m, s in extra]
    params["extra_runs"].append({"run": "other-s9", "method": "other", "seed": 9, "base": 7})  # of no method of these
    rng = np.random.default_rng(1)
    for method, seed in extra:
        root = artifacts / f"more/evaluate/{method}-s{seed}"
        write_scores(root, method, seed, 4, random_right(rng, 0.6))
        write_manifest(root)
        write_metrics(artifacts / f"more/metrics/{method}-s{seed}", method, seed, [10.0] * 4, [0.0] * 4)
    rows = make(artifacts, params)
    (share,) = of(rows, what="collapse", method="explorer20")
    assert (share["n"], share["collapsed"]) == ("6", "2")
    (row,) = of(rows, what="group", method="explorer20", group="survivors", metric="Avg")
    assert (row["n"], row["pairs"]) == ("4", "3")
    folders = [f"evaluate/{{}}-s{s}" for s in (1, 3)] + ["more/evaluate/{}-s11"]
    own, full = ([average(artifacts / f.format(m)) for f in folders] for m in ("explorer20", "full"))
    assert float(row["difference"]) == pytest.approx(np.mean(own) - np.mean(full), abs=1e-3)
    alone = average(artifacts / "more/evaluate/explorer20-s12")
    assert float(row["mean"]) == pytest.approx(np.mean([*own, alone]), abs=1e-3)
    assert len(of(rows, what="run", method="explorer20", metric="Avg")) == 6
    assert of(rows, what="run", method="explorer20", metric="Avg", seed="12")[0]["against"] == ""


def test_a_run_that_table_1_counts_is_counted(four):
    artifacts, params = four
    params["analysis"]["table1"]["collapse"] |= {"reward_drop": 0.5}
    write_metrics(artifacts / "metrics/full-s1", "full", 1, [10.0] * 4, [1.0, 1.0, 0.4, 0.4])
    (row,) = of(make(artifacts, params), what="run", method="full", metric="Avg", seed="1")
    assert (row["mode"], row["collapsed"]) == (LATE, "1")


def test_options_of_explorers(four):
    artifacts, params = four
    before = make(artifacts, params), Path("results/explorers.png").read_bytes()
    assert make(artifacts, params, smooth=1) == before[0]
    assert Path("results/explorers.png").read_bytes() != before[1]
    assert {row["against"] for row in make(artifacts, params, reference="explorer20")} == {"", "explorer20"}


def test_seed_by_seed(four):
    artifacts, params = four
    rows = make(artifacts, params, "seeds")
    assert [(r["method"], r["seed"]) for r in rows] == [(m, s) for m in ("base", "full", "explorer20") for s in "1234"]
    for row in rows:
        folder = "evaluate_base/s{seed}" if row["method"] == "base" else "evaluate/{method}-s{seed}"
        avg = average(artifacts / folder.format(**row))
        assert float(row["Avg"]) == pytest.approx(avg, abs=1e-3)
        assert row["base"] == str(7 + int(row["seed"]) % 2)
        if row["method"] == "full":
            assert (row["against"], row["difference"]) == ("", "")
        else:
            other = average(artifacts / "evaluate/full-s{seed}".format(**row))
            assert float(row["difference"]) == pytest.approx(avg - other, abs=1e-3)
