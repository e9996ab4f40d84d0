"""Entropy over training: groups against plain loops, every option, and what the token log lacks."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from results_fixtures import METHODS, SEEDS, STEPS, save_params

from tokenspectrum.results.discover import results
from tokenspectrum.results.dynamics import SCORES, DynamicsParams
from tokenspectrum.results.lacking import lacks
from tokenspectrum.stages import result as stage

CSV = Path("results/dynamics.csv")


def make(artifacts, params, **own) -> list[dict]:
    params["analysis"]["dynamics"] |= own
    save_params(params)
    words = ["--tokenlog", f"{artifacts}/train", "--csv", str(CSV), "--png", "results/dynamics.png"]
    stage.main(["tokenspectrum.results.dynamics.result", *words])
    with CSV.open() as f:
        return list(csv.DictReader(f))


def by_loops(artifacts, method, seed, step, layer=1, p=0.2, score="entropy_norm") -> dict[str, list[dict]]:
    """Group -> rows of table attention."""
    folder = artifacts / f"train/{method}-s{seed}/tokenlog/attention"
    (path,) = folder.rglob(f"step={step}/*.parquet")
    rows = [row for row in pq.ParquetFile(path).read().to_pylist() if row["layer"] == layer]
    groups: dict[str, list[dict]] = {"all": rows, "anchor": [], "explorer": []}
    for response in {row["response_id"] for row in rows}:
        of = sorted(
            (row for row in rows if row["response_id"] == response), key=lambda row: (row[score], row["position"])
        )
        k = max(1, int(np.floor(p * len(of) + 0.5)))
        groups["anchor"] += of[:k]
        groups["explorer"] += of[-k:]
    return groups


@pytest.mark.parametrize("options", [{}, {"layer": 3}, {"p": 0.4}, {"score": "entropy_raw"}])
def test_groups_against_plain_loops(artifacts, params, options):
    layer = options.get("layer", 1)
    params["policy"]["shape"] = {"layers": 4}
    rows = make(artifacts, params, **options)
    wanted = {k: v for k, v in options.items() if k != "layer"}
    assert {row["score"] for row in rows} == set(SCORES) - {"entropy_fixed"}  # of which the fixture has none
    assert len(rows) == 2 * 3 * STEPS * 5

    def gaps(of, score):
        return np.array(
            [np.mean([t[score] for t in g["explorer"]]) - np.mean([t[score] for t in g["anchor"]]) for g in of]
        )

    for row in rows:
        of = [by_loops(artifacts, row["method"], seed, row["step"], layer, **wanted) for seed in SEEDS]
        if row["group"] in ("gap", "kept"):
            values = gaps(of, row["score"])
            if row["group"] == "kept":
                first = [by_loops(artifacts, row["method"], seed, 1, layer, **wanted) for seed in SEEDS]
                turned = np.where(gaps(first, row["score"]) < 0, -1, 1)
                values = turned * (values - gaps(first, row["score"]) / 2)
            assert row["within"] == ""
        else:
            tokens = [[t[row["score"]] for t in groups[row["group"]]] for groups in of]
            values = [np.mean(t) for t in tokens]
            assert float(row["within"]) == pytest.approx(np.mean([np.std(t, ddof=1) for t in tokens]), abs=2e-4)
            assert int(row["tokens"]) == sum(map(len, tokens))
        assert float(row["mean"]) == pytest.approx(np.mean(values), abs=2e-4)
        assert float(row["sd"]) == pytest.approx(np.std(values, ddof=1), abs=2e-4)
        assert (row["n"], row["bases"]) == ("2", "2")


def test_methods_and_sampled_are_options(artifacts, params):
    whole = make(artifacts, params)
    assert list(dict.fromkeys(row["method"] for row in whole)) == list(METHODS)
    assert {row["method"] for row in make(artifacts, params, methods=["full"])} == {"full"}
    # In the fixture the whole rows of every response are there.
    assert make(artifacts, params, methods=list(METHODS), sampled=True) == whole


def test_what_the_token_log_lacks_is_named():
    rows = SimpleNamespace(every=10)
    log = SimpleNamespace(attention="streaming", row_stats=rows, layers=("rule", "mid"))
    params = SimpleNamespace(
        methods=("full", "low2high_mid"),
        replicates=(None,),
        analysis=SimpleNamespace(dynamics=DynamicsParams()),
        policy=SimpleNamespace(num_layers=4),
        train=SimpleNamespace(token_log=log),
    )
    result = results()["dynamics"]
    assert list(lacks(result, params)) == []
    log.layers, log.row_stats, params.methods = ("rule",), None, ("full",)
    assert list(lacks(result, params)) == [
        "method low2high_mid of analysis.dynamics.methods is not in methods; add it",
        "train.token_log.row_stats is null, so there is no top-k and fixed-K entropy; set it",
        "layer mid of analysis.dynamics.layer is not in train.token_log.layers; add it there",
    ]
    params.analysis.dynamics = DynamicsParams(layer=9)
    assert "the policy has layers 0 to 3" in list(lacks(result, params))[-1]
