"""Results that compare trained methods: accuracy and curves against plain loops, every option, and what params lack."""

import csv
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from results_fixtures import OUTCOMES, PARAMS, SHAPE, random_right, save_params, write_scores
from scipy import stats

from tokenspectrum.errors import UserError
from tokenspectrum.params.root import Params
from tokenspectrum.results.declare import Result
from tokenspectrum.results.discover import results
from tokenspectrum.results.lacking import lacks
from tokenspectrum.results.outcome.declare import OutcomeParams
from tokenspectrum.stages import result as stage
from tokenspectrum.tokenlog.writer import write_manifest

CSV = Path("results/selective.csv")
HEADINGS = {"easy": "easy (stand-in)", "hard": "hard (stand-in)"}


def make(artifacts, params, **own) -> list[dict]:
    params["analysis"]["selective"] = SHAPE | own
    save_params(params)
    folders = [
        word for name in ("evaluate", "evaluate_base", "metrics") for word in (f"--{name}", f"{artifacts}/{name}")
    ]
    module = "tokenspectrum.results.selective.result"
    stage.main([module, *folders, "--csv", str(CSV), "--png", "results/selective.png"])
    with CSV.open() as f:
        return list(csv.DictReader(f))


def of(rows, **wanted) -> list[dict]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def accuracies(folder: Path, step: int) -> dict[str, float]:
    """Benchmark -> percent by plain loops."""
    found = {}
    for path in folder.rglob(f"step={step}/*.parquet"):
        problems: dict[str, list[int]] = {}
        for row in pq.ParquetFile(path).read().to_pylist():
            problems.setdefault(row["prompt_id"], []).append(int(row["correct"]))
        found[path.stem] = 100 * sum(sum(x) / len(x) for x in problems.values()) / len(problems)
    return found


def measured(artifacts, run: str, step: int = 4) -> dict[str, list[float]]:
    """Measure -> a value a replicate.  In the fixture the base policies are worse on hard."""
    folder = "evaluate_base/s{}" if run == "base" else f"evaluate/{run}-s{{}}"
    of_R = [accuracies(artifacts / folder.format(seed), step) for seed in (1, 2)]
    found = {HEADINGS[name]: [x[name] for x in of_R] for name in HEADINGS}
    return found | {
        "Avg": [(x["easy"] + x["hard"]) / 2 for x in of_R],
        "hardest": [x["hard"] for x in of_R],
        "without_hardest": [x["easy"] for x in of_R],
    }


def test_outcomes_against_plain_loops_and_scipy(artifacts, params):
    base, full, run = (measured(artifacts, r, s) for r, s in (("base", 0), ("full", 4), ("explorer20", 4)))
    assert np.mean(base["hardest"]) < np.mean(base["without_hardest"])
    rows = make(artifacts, params)
    assert {row["metric"] for row in of(rows, what="outcome")} == {
        "Avg",
        "hardest",
        "without_hardest",
        *HEADINGS.values(),
    }
    for metric, values in run.items():
        (row,) = of(rows, what="outcome", method="explorer20", metric=metric)
        assert (row["n"], row["bases"], row["against"], row["checkpoints"], row["step"]) == ("2", "2", "full", "1", "")
        assert float(row["mean"]) == pytest.approx(np.mean(values), abs=1e-4)
        assert float(row["sd"]) == pytest.approx(np.std(values, ddof=1), abs=1e-4)
        assert (float(row["low"]), float(row["high"])) == pytest.approx((min(values), max(values)), abs=1e-4)
        each = np.subtract(values, full[metric])
        assert float(row["difference"]) == pytest.approx(each.mean(), abs=1e-4)
        assert float(row["difference_sd"]) == pytest.approx(each.std(ddof=1), abs=1e-4)
        if each.std() < 1e-9:  # no spread, no test
            assert (row["p"], row["ci_low"]) == ("", "")
            continue
        test = stats.ttest_rel(values, full[metric])
        assert float(row["p"]) == pytest.approx(test.pvalue, abs=1e-4)
        ends = test.confidence_interval(0.95)
        assert (float(row["ci_low"]), float(row["ci_high"])) == pytest.approx((ends.low, ends.high), abs=1e-3)
        share = [100 * a / b for a, b in zip(values, full[metric], strict=True)]
        assert float(row["share"]) == pytest.approx(np.mean(share), abs=1e-3)
        half = stats.t.ppf(0.975, 1) * np.std(share, ddof=1) / math.sqrt(2)
        assert float(row["share_low"]) == pytest.approx(np.mean(share) - half, abs=1e-2)
        tops = [a - b for a, b in zip(values, base[metric], strict=True)]
        gains = [100 * a / (b - c) for a, b, c in zip(tops, full[metric], base[metric], strict=True)]
        assert float(row["gain_share"]) == pytest.approx(np.mean(gains), abs=1e-3)
    (avg,) = of(rows, what="outcome", method="full", metric="Avg")
    assert (avg["against"], avg["difference"], avg["share"], avg["collapsed"]) == ("", "", "", "0")
    (base_row,) = of(rows, what="outcome", method="base", metric="Avg")
    assert (base_row["collapsed"], base_row["share"]) == ("", "")
    assert float(base_row["mean"]) == pytest.approx(np.mean(base["Avg"]), abs=1e-4)
    p = [float(row["p"]) for row in of(rows, what="outcome", metric="Avg") if row["p"]]
    p_holm = [float(row["p_holm"]) for row in of(rows, what="outcome", metric="Avg") if row["p"]]
    assert min(p_holm) == pytest.approx(min(1, 2 * min(p)), abs=1e-3)


def test_no_share_of_a_gain_that_is_none(artifacts, params):
    for seed in (1, 2):
        write_scores(artifacts / f"evaluate_base/s{seed}", "base", seed, 0, random_right(np.random.default_rng(0), 3.0))
        write_manifest(artifacts / f"evaluate_base/s{seed}")
    (row,) = of(make(artifacts, params), what="outcome", method="explorer20", metric="Avg")
    assert row["gain_share"] == ""
    assert row["share"] != ""


def test_curves_against_plain_loops(artifacts, params):
    rows = of(make(artifacts, params), what="curve")
    # The panels' order is that of the options; benchmarks are a panel each.
    shown = list(dict.fromkeys(row["metric"] for row in rows))
    assert shown == ["reward", "grad_norm", "Avg", "hardest", "easy (stand-in)", "hard (stand-in)"]
    for metric in ("reward", "grad_norm"):
        for row in of(rows, metric=metric):
            folders = [artifacts / f"metrics/{row['method']}-s{seed}" for seed in (1, 2)]
            found = [next(f.rglob(f"step={row['step']}/*.parquet")) for f in folders]
            read = [pq.ParquetFile(path).read().to_pylist()[0][metric] for path in found]
            values = [x[0] if isinstance(x, list) else x for x in read]
            assert float(row["mean"]) == pytest.approx(np.mean(values), abs=1e-4)
            assert row["n"] == "2"
    for method in ("full", "explorer20"):
        points = of(rows, method=method, metric="Avg")
        assert [point["step"] for point in points] == ["0", "4"]
        expected = [np.mean(measured(artifacts, "base", 0)["Avg"]), np.mean(measured(artifacts, method)["Avg"])]
        assert [float(point["mean"]) for point in points] == pytest.approx(expected, abs=1e-4)


def test_a_window_averages_checkpoints(artifacts, params):
    rng = np.random.default_rng(5)
    for method in ("full", "explorer20"):
        for seed in (1, 2):
            folder = artifacts / f"evaluate/{method}-s{seed}"
            write_scores(folder, method, seed, 2, random_right(rng, 0.6))
            write_manifest(folder)
    rows = make(artifacts, params, windows=[1, 2])
    for window, steps in (("1", (4,)), ("2", (2, 4))):
        (row,) = of(rows, what="outcome", method="full", metric="Avg", checkpoints=window)
        expected = np.mean([measured(artifacts, "full", step)["Avg"] for step in steps])
        assert float(row["mean"]) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(UserError, match="windows of this result's section of analysis asks for 3"):
        make(artifacts, params, windows=[3])


def test_contrasts_reference_and_methods_are_options(artifacts, params):
    rows = make(artifacts, params, contrasts=[["full", "explorer20"]])
    direct, contrast = (of(rows, what="outcome", metric="Avg", method=m)[-1] for m in ("explorer20", "full"))
    assert (contrast["against"], float(contrast["difference"])) == ("explorer20", -float(direct["difference"]))
    rows = make(artifacts, params, reference="explorer20")
    assert {row["against"] for row in of(rows, what="outcome")} == {"", "explorer20"}
    # It reads the methods of its own option, whatever else is trained.
    params["methods"].append("nonesuch")
    assert {row["method"] for row in make(artifacts, params)} == {"base", "full", "explorer20"}


def test_drawn_options_change_the_figure_alone(artifacts, params):
    make(artifacts, params)
    before = CSV.read_bytes(), Path("results/selective.png").read_bytes()
    make(artifacts, params, smooth=3)
    after = CSV.read_bytes(), Path("results/selective.png").read_bytes()
    assert before[0] == after[0]
    make(artifacts, params, curves=["length"])
    assert Path("results/selective.png").read_bytes() != before[1]
    make(artifacts, params)
    assert (CSV.read_bytes(), Path("results/selective.png").read_bytes()) == before


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"reference": "nonesuch"}, "reference nonesuch is not in methods"),
        ({"methods": ["full", "full"]}, "methods: a value is listed twice"),
        ({"windows": [0]}, "a window is at least 1 checkpoint"),
        ({"contrasts": [["full", "nonesuch"]]}, "it takes two different ones of methods"),
        ({"curves": ["nonesuch"]}, "Input should be"),
    ],
)
def test_options_that_cannot_be_are_refused(own, message):
    with pytest.raises(ValidationError, match=message):
        OutcomeParams.model_validate_json(__import__("json").dumps(SHAPE | own))


@pytest.mark.parametrize("name", OUTCOMES)
def test_what_a_preset_lacks_is_named_line_by_line(name):
    result: Result = results()[name]
    own = result.params()
    params = SimpleNamespace(
        preset="tiny",
        methods=[m for m in own.methods if m != own.methods[1]],
        replicates=(None,),
        evaluate=SimpleNamespace(steps=("final",)),
        analysis=SimpleNamespace(**{name: own}),
    )
    found = list(lacks(result, params))
    assert found[0] == f"method {own.methods[1]} of analysis.{name}.methods is not in methods; add it"
    held = any(curve in ("Avg", "hardest", "benchmarks") for curve in own.curves)
    assert sum("evaluate.steps holds" in line for line in found) == held + (max(own.windows) > 1)
    params.methods, params.evaluate.steps = own.methods, (1, 2, 3, 4, "final")
    assert list(lacks(result, params)) == []
    assert set(own.methods) >= {m for pair in own.contrasts for m in pair}


def test_every_such_result_is_in_the_fixture():
    shaped = {name for name, result in results().items() if result.params and issubclass(result.params, OutcomeParams)}
    assert shaped == set(OUTCOMES)
    assert set(PARAMS["analysis"]) >= shaped
    assert set(Params.model_fields) >= {"analysis", "evaluate"}
