"""The stage of claims on a small project: what is missing is named, and one replicate decides nothing."""

import json
from pathlib import Path

import pytest
from results_fixtures import save_params, write_scores

from tokenspectrum.errors import UserError
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.root import parse_params
from tokenspectrum.results.asked import asked_files
from tokenspectrum.results.claims.declared import CLAIMS
from tokenspectrum.results.csvfile import read_plain
from tokenspectrum.results.discover import results
from tokenspectrum.results.sources import SOURCES
from tokenspectrum.stages import result as stage
from tokenspectrum.tokenlog.writer import write_manifest


def make(name: str, artifacts: Path) -> list[dict]:
    """Run the stage of a result; the rows of its CSV."""
    result = results()[name]
    folders = [w for s in result.reads for w in (f"--{s}", f"{artifacts}/{SOURCES[s].folder}")]
    files = [w for kind, path in result.outs.items() for w in (f"--{kind}", path)]
    Path("results").mkdir(exist_ok=True)
    stage.main([result.module, *folders, *files])
    return read_plain(Path(result.outs["csv"]))


@pytest.fixture
def claims(artifacts, params, monkeypatch):
    """Make claims with these results of others at hand; a row each, by its id."""

    def made(*asked: str) -> dict[str, dict]:
        save_params(params)
        for name in asked:
            make(name, artifacts)
        monkeypatch.setenv("SNAKEDVC_NAMED", "\n".join(f"results/{name}.csv" for name in asked))
        return {row["id"]: row for row in make("claims", artifacts)}

    return made


def test_a_row_a_claim_and_what_is_missing_is_named(claims):
    rows = claims("scatter", "support", "explorers")
    assert list(rows) == [claim.id for claim in CLAIMS]
    assert rows["A1"]["verdict"] == "not run"
    assert rows["A1"]["note"] == "lacks method random20"
    assert rows["F1"]["note"] == "lacks results/pattern.csv"
    assert {rows[name]["verdict"] for name in ("A3", "A4", "A6", "A7")} <= {"holds", "fails", "undecided"}
    assert (rows["A4"]["n"], rows["A4"]["bases"], rows["A4"]["of"]) == (2, 2, "survivors")
    page = Path("results/claims.md").read_text()
    assert page.count("| A6 |") == 2
    assert "Hardest here: hard, of the lowest accuracy of the base policies." in page
    assert "(must be " in rows["A6"]["part"]
    assert "synthetic stand-ins" in page
    assert "method random20" in page


def test_of_one_replicate_nothing_that_needs_spread_is_decided(claims, params):
    params["replicates"] = params["replicates"][:1]
    params["bases"] = params["bases"][:1]
    rows = claims("explorers")
    ran = {row["verdict"] for row in rows.values() if row["verdict"] != "not run"}
    assert ran == {"undecided"}
    assert "One replicate" in Path("results/claims.md").read_text()


def test_another_results_interval_of_other_width_is_refused(claims, params):
    """A claim reads 95 %: with another level of the result, only the claims on that result are not run."""
    params["analysis"]["scatter"] = {"alpha": 0.4}
    params["gradients"]["subsets"] |= {"anchor20": {"kind": "anchor", "p": 0.3}}
    rows = claims("scatter", "support", "explorers")
    assert (rows["A6"]["verdict"], rows["A6"]["value"]) == ("not run", None)
    assert rows["A6"]["note"] == "claims read 95 % intervals; analysis.scatter.alpha is 0.4"
    assert rows["A7"]["verdict"] != "not run"
    assert "analysis.scatter.alpha is 0.4" in Path("results/claims.md").read_text()


def test_a_method_that_was_trained_by_another_rule_is_refused(claims, params, monkeypatch):
    """The rule is the one that its training read."""
    claims("explorers")
    path = Path("artifacts/small/weights/explorer20-b1/rule.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("SNAKEDVC_NAMED", f"results/explorers.csv\n{path}")
    for p, note in ((0.2, None), (0.3, "explorer20 has p = 0.3, the claim means 0.2")):
        path.write_text(json.dumps({"kind": "explorer", "p": p, "layer": 1, "denominator": "selected"}))
        rows = {row["id"]: row for row in make("claims", Path("artifacts/small"))}
        assert (rows["A4"]["verdict"] == "not run") == (p != 0.2)
        assert p == 0.2 or rows["A4"]["note"] == note


def test_the_layer_is_an_option(claims, params):
    params["analysis"]["claims"] = {"layer": 1}
    first = claims("scatter")["A6"]
    assert first["value"] is not None
    params["analysis"]["claims"] = {"layer": 0}
    assert claims("scatter")["A6"]["note"] == "results/scatter.csv has no row of layer 0"


def test_level_and_power_are_options(claims, artifacts, params):
    """A planted difference of explorers on the hardest benchmark: 2 replicates leave it undecided at a small alpha."""
    plant(artifacts)
    params["analysis"]["claims"] = {"alpha": 0.2}
    assert claims("explorers")["A4"]["verdict"] == "holds"
    params["analysis"]["claims"] = {"alpha": 0.001, "power": 0.8}
    small = claims("explorers")["A4"]
    assert small["verdict"] == "undecided"
    params["analysis"]["claims"] = {"alpha": 0.001, "power": 0.95}
    assert claims("explorers")["A4"]["detectable"] > small["detectable"]


def plant(artifacts: Path) -> None:
    """Explorers answer the hard problems, full-token training hardly does."""
    import numpy as np

    for method, right in (("full", 0), ("explorer20", 4)):
        for seed in (1, 2):
            correct = {"easy": np.ones((6, 4)), "hard": np.zeros((5, 4))}
            correct["hard"][:right] = 1
            correct["hard"][4, :seed] = 1 if method == "full" else 0
            folder = artifacts / f"evaluate/{method}-s{seed}"
            write_scores(folder, method, seed, 4, correct)
            write_manifest(folder)


def test_what_claims_read_of_other_results_follows_from_params():
    data = read_preset("tiny", Path(__file__).parents[2] / "presets").data
    every = asked_files("claims", data)
    assert {"results/pattern.csv", "results/scatter.csv", "results/support.csv"} <= set(every)
    rules = {path for path in every if path.endswith("/rule.json")}
    assert {Path(path).stem for path in set(every) - rules} <= set(results()["claims"].asks)
    assert rules == {f"artifacts/tiny/weights/{method}-b{data['bases'][0]}/rule.json" for method in data["methods"]}
    data["tokens"]["support"] = False
    assert set(every) - set(asked_files("claims", data)) == {"results/support.csv"}
    assert asked_files("table1", data) == asked_files("train", data) == []
    assert asked_files("claims", data | {"methods": "nonsense"}) == []  # their check says why


def test_a_layer_that_the_policy_lacks_is_one_line():
    data = read_preset("tiny", Path(__file__).parents[2] / "presets").data
    data["analysis"]["claims"] = data["analysis"].get("claims", {}) | {"layer": 9}
    with pytest.raises(UserError, match=r"analysis.claims.layer: layer 9: the policy has layers 0 to") as found:
        parse_params(data, "tiny")
    assert "\n" not in str(found.value)
