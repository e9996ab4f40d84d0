"""Results of rules and their controls: what they add to the shape they share, against plain loops."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from results_fixtures import SHAPE, save_params, write_metrics

from tokenspectrum.results.discover import results
from tokenspectrum.results.layersweep import LayersweepParams
from tokenspectrum.stages import result as stage

STEPS = 4
NAMES = ("adaptive", "controls", "layersweep", "normalisation")


def make(artifacts, params, name: str, **own) -> list[dict]:
    params["analysis"][name] = params["analysis"][name] | own
    save_params(params)
    folders = [word for x in ("evaluate", "evaluate_base", "metrics") for word in (f"--{x}", f"{artifacts}/{x}")]
    stage.main(
        [
            f"tokenspectrum.results.{name}.result",
            *folders,
            "--csv",
            f"results/{name}.csv",
            "--png",
            f"results/{name}.png",
        ]
    )
    with Path(f"results/{name}.csv").open() as f:
        return list(csv.DictReader(f))


def of(rows, **wanted) -> list[dict]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def set_realised(artifacts, run: str, by_seed: dict[int, list[dict]]) -> None:
    for seed, steps in by_seed.items():
        texts = [json.dumps(step) for step in steps]
        write_metrics(artifacts / f"metrics/{run}-s{seed}", run, seed, [10.0] * STEPS, [0.0] * STEPS, texts)


def test_controls_say_what_the_rules_came_to(artifacts, params):
    overlap = {1: [0.1, 0.2, 0.3, 0.4], 2: [0.5, 0.7, 0.9, 0.7]}
    set_realised(artifacts, "explorer20", {s: [{"overlap": x, "cut_min": 1.0} for x in v] for s, v in overlap.items()})
    rows = make(artifacts, params, "controls")
    (row,) = of(rows, what="realised", metric="overlap")
    means = [sum(v) / STEPS for v in overlap.values()]
    assert row["method"] == "explorer20"
    assert float(row["mean"]) == pytest.approx(np.mean(means), abs=1e-4)
    assert float(row["sd"]) == pytest.approx(np.std(means, ddof=1), abs=1e-4)
    assert (float(row["low"]), float(row["high"]), row["n"]) == (0.25, 0.7, "2")
    # Every rule has a mean weight: in the fixture 0.25 + 0.01 seed step.
    weights = {r["method"]: float(r["mean"]) for r in of(rows, what="realised", metric="mean_weight")}
    assert weights == pytest.approx(dict.fromkeys(("full", "explorer20"), 0.25 + 0.01 * 1.5 * 2.5), abs=1e-4)
    assert not of(rows, what="realised", metric="at_floor")


def test_adaptive_says_where_r_stood_and_why(artifacts, params):
    told = {
        1: [(0.0, "start"), (0.0, "start"), (0.5, "stable"), (1.0, "stable")],
        2: [(0.0, "start"), (0.0, "start"), (0.0, "reward stagnates"), (0.5, "stable")],
    }
    steps = {seed: [{"ramp": r, "reason": why, "w_low": 1 - r} for r, why in of_] for seed, of_ in told.items()}
    set_realised(artifacts, "explorer20", steps)
    set_realised(artifacts, "full", {seed: [{"ramp": s / 4} for s in range(STEPS)] for seed in (1, 2)})
    rows = make(artifacts, params, "adaptive")
    for step in range(1, STEPS + 1):
        (row,) = of(rows, what="curve", metric="ramp", method="explorer20", step=str(step))
        values = [told[seed][step - 1][0] for seed in (1, 2)]
        assert (float(row["mean"]), float(row["low"]), float(row["high"])) == (
            np.mean(values),
            min(values),
            max(values),
        )
        # A curriculum on a schedule has an r too, and no reasons.
        (row,) = of(rows, what="curve", metric="ramp", method="full", step=str(step))
        assert float(row["mean"]) == (step - 1) / 4
    reasons = [(row["method"], row["metric"], float(row["mean"]), row["high"]) for row in of(rows, what="reason")]
    assert reasons == [
        ("explorer20", "start", 2.0, "2.0000"),
        ("explorer20", "stable", 1.5, "2.0000"),
        ("explorer20", "reward stagnates", 0.5, "1.0000"),
    ]
    before = Path("results/adaptive.png").read_bytes()
    make(artifacts, params, "adaptive", smooth=3)
    assert Path("results/adaptive.png").read_bytes() != before


def test_rows_of_the_layer_sweep_have_their_rule_and_layer(artifacts, params):
    rows = make(artifacts, params, "layersweep")
    assert {(row["method"], row["rule"], row["layer"]) for row in rows} == {
        ("base", "", ""),
        ("full", "", ""),
        ("explorer20", "explorer", "mid"),
    }
    selective = make(artifacts, params, "selective")
    same = [{name: row[name] for name in selective[0]} for row in rows]
    assert same == selective
    before = Path("results/layersweep.png").read_bytes()
    make(artifacts, params, "layersweep", sweep=[["explorer", "deep", "explorer20"]])
    assert Path("results/layersweep.png").read_bytes() != before


@pytest.mark.parametrize(
    "sweep", [[], [["a", "mid", "full"]], [["a", "mid", "explorer20"], ["a", "deep", "explorer20"]]]
)
def test_a_sweep_that_is_not_that_of_the_methods_is_refused(sweep):
    with pytest.raises(ValidationError, match=r"sweep takes each of methods|at least 1 item"):
        LayersweepParams.model_validate_json(json.dumps(SHAPE | {"sweep": sweep}))


@pytest.mark.parametrize("name", NAMES)
def test_the_preset_evidence_has_all_that_they_need(name):
    from tokenspectrum.params.presets import read_preset
    from tokenspectrum.results.lacking import lacks

    params = read_preset("evidence", Path(__file__).parents[2] / "presets").params
    assert list(lacks(results()[name], params)) == []
