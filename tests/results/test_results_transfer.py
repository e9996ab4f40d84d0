"""Transfer: this preset and the CSV of another, each against its own loops, and what a wrong file is told."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from results_fixtures import save_params
from scipy import stats

from tokenspectrum.errors import UserError
from tokenspectrum.results.discover import results
from tokenspectrum.results.lacking import lacks
from tokenspectrum.results.policies import of_policy
from tokenspectrum.results.transfer import TransferParams
from tokenspectrum.stages import result as stage

SOURCES = ("evaluate", "evaluate_base", "vocab")
HEADER = "method,seed,base,MATH,AIME24,Avg,against,difference,weights,preset,policy\n"
# Another policy: AIME24 is its hardest; two seeds on one base policy and one on another.
VALUES = {
    "base": [(60.0, 10.0), (58.0, 12.0), (61.0, 9.0)],
    "full": [(70.0, 20.0), (72.0, 21.0), (69.0, 18.0)],
    "explorer20": [(71.0, 25.0), (70.0, 24.0), (72.0, 17.0)],
}


def write_other(folder: Path, name="other", methods=tuple(VALUES), weights=10**9) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{method},{seed},{1 + seed // 3},{math},{aime},{(math + aime) / 2},,,{weights},{name},hub"
        for method in methods
        for seed, (math, aime) in enumerate(VALUES[method], 1)
    ]
    (folder / f"{name}.csv").write_text(HEADER + "\n".join(lines) + "\n")


def make(artifacts, params, result="transfer", **own) -> list[dict]:
    params["analysis"][result] |= own
    save_params(params)
    folders = [word for name in SOURCES for word in (f"--{name}", f"{artifacts}/{name}")]
    folder = ["--folder", own.get("folder", "data/transfer")]
    stage.main([f"tokenspectrum.results.{result}.result", *folders, *folder, "--csv", f"results/{result}.csv"])
    with Path(f"results/{result}.csv").open() as f:
        return list(csv.DictReader(f))


def test_a_row_a_policy_and_measure_against_scipy(artifacts, params):
    write_other(Path("data/transfer"))
    rows = make(artifacts, params)
    assert [(r["policy"], r["metric"]) for r in rows] == [
        (policy, metric) for metric in ("Avg", "hardest") for policy in ("small", "other")
    ]
    other = {r["metric"]: r for r in rows if r["policy"] == "other"}
    for metric, pick in (("Avg", np.mean), ("hardest", lambda pair: pair[1])):
        own, full = ([pick(pair) for pair in VALUES[m]] for m in ("explorer20", "full"))
        test = stats.ttest_rel(own, full)
        row = other[metric]
        assert (row["n"], row["bases"], row["method"], row["against"]) == ("3", "2", "explorer20", "full")
        assert float(row["difference"]) == pytest.approx(np.mean(own) - np.mean(full), abs=1e-4)
        assert float(row["p"]) == pytest.approx(test.pvalue, abs=1e-4)
        assert float(row["ci_high"]) == pytest.approx(test.confidence_interval(0.95).high, abs=1e-3)
        assert float(row["base_mean"]) == pytest.approx(np.mean([pick(pair) for pair in VALUES["base"]]), abs=1e-4)
    assert (other["hardest"]["of"], other["Avg"]["of"]) == ("AIME24", "")
    assert other["hardest"]["bases_above"] == "1"  # the second base policy's only seed lost


def test_what_another_presets_own_result_wrote_is_read(artifacts, params):
    save_params(params | {"preset": "twin"})
    words = [word for name in SOURCES for word in (f"--{name}", f"{artifacts}/{name}")]
    Path("elsewhere").mkdir()
    stage.main(["tokenspectrum.results.seeds.result", *words, "--csv", "elsewhere/any.csv"])
    rows = {r["policy"]: r for r in make(artifacts, params, folder="elsewhere") if r["metric"] == "Avg"}
    assert float(rows["twin"]["difference"]) == pytest.approx(float(rows["small"]["difference"]), abs=1e-3)
    assert {row["preset"] for row in rows.values()} == {"small"}
    Path("elsewhere/again.csv").write_bytes(Path("elsewhere/any.csv").read_bytes())
    with pytest.raises(UserError, match=r"any.csv: is of preset twin, of which there are numbers already"):
        make(artifacts, params, folder="elsewhere")


def test_scaling_goes_by_the_policies_weights(artifacts, params):
    write_other(Path("data/transfer"))
    write_other(Path("data/transfer"), name="small-hub", weights=10)
    rows = make(artifacts, params, "scaling")
    assert [row["policy"] for row in rows] == ["small-hub", "small", "other"]
    assert {row["metric"] for row in rows} == {"Avg"}
    # Three layers of width 64: four matrices of attention, three of the MLP, and an embedding of eight tokens.
    attention, mlp = 64 * 32 * 2 * (4 + 2), 3 * 64 * 128
    assert rows[1]["weights"] == str(3 * (attention + mlp) + 8 * 64)


def test_a_file_that_is_none_or_lacks_a_method_is_one_line(artifacts, params):
    write_other(Path("data/transfer"), methods=("base", "full"))
    with pytest.raises(UserError, match=r"other.csv: no rows of method explorer20; run its preset with it"):
        make(artifacts, params)
    Path("data/transfer/other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"other.csv: no results/seeds.csv \("):
        make(artifacts, params)


def test_what_is_lacking_is_named(tmp_path):
    own = TransferParams(methods=("full", "low2high_mid"), folder=str(tmp_path))
    params = SimpleNamespace(methods=("full",), replicates=(None,), analysis=SimpleNamespace(transfer=own))
    assert list(lacks(results()["transfer"], params)) == [
        "method low2high_mid of analysis.transfer.methods is not in methods; add it",
        f"{tmp_path} holds no CSV; run another preset and copy its results/seeds.csv to {tmp_path}/PRESET.csv",
    ]
    write_other(tmp_path)
    params.methods = own.methods
    assert list(lacks(results()["transfer"], params)) == []


def test_a_difference_that_rounding_makes_is_not_above():
    """0.1 + 0.2 is above 0.3 by a rounding error alone."""
    plain = {"against": "", "difference": 0.0, "weights": 1, "preset": "other", "policy": "hub"}
    avg = {"base": 0.1, "full": 0.3, "explorer20": 0.1 + 0.2}
    rows = [{"method": m, "seed": s, "base": s, "AIME24": v, "Avg": v} | plain for m, v in avg.items() for s in (1, 2)]
    params = SimpleNamespace(alpha=0.05, power=0.8)
    assert avg["explorer20"] > avg["full"]
    assert of_policy(rows, "Avg", "explorer20", "full", params)["bases_above"] == 0
    rows = [row | {"Avg": row["Avg"] + row["seed"] * (row["method"] == "explorer20")} for row in rows]
    assert of_policy(rows, "Avg", "explorer20", "full", params)["bases_above"] == 2
