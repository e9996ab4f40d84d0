"""Power: planted variances, designs, intervals that cover at 30 problems, and every option."""

import csv
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from results_fixtures import STEPS, random_right, save_params, write_scores
from scipy import stats
from table1_kit import by_key
from table1_kit import make as make_table1

from tokenspectrum.errors import UserError
from tokenspectrum.results.components import components
from tokenspectrum.results.power.result import needed
from tokenspectrum.results.statistics import minimum_detectable_difference
from tokenspectrum.stages import result as stage
from tokenspectrum.tokenlog.writer import write_manifest

CSV = Path("results/power.csv")


def make(artifacts, params, **own) -> list[dict]:
    params["analysis"]["power"] |= own
    save_params(params)
    folders = [word for name in ("evaluate", "evaluate_base") for word in (f"--{name}", f"{artifacts}/{name}")]
    stage.main(["tokenspectrum.results.power.result", *folders, "--csv", str(CSV)])
    with CSV.open() as f:
        return list(csv.DictReader(f))


def of(rows, **wanted) -> list[dict]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def samples_of(folder) -> dict[str, np.ndarray]:
    """Benchmark -> correct_PK."""
    found = {}
    for path in folder.rglob("*.parquet"):
        rows = sorted(pq.ParquetFile(path).read().to_pylist(), key=lambda row: (row["prompt_id"], row["sample"]))
        found[path.stem] = np.array([row["correct"] for row in rows], float).reshape(-1, 4)
    return found


def planted(rng, seed, problem, interaction, sample, replicates=400, problems=40, samples=4):
    """Cells of one benchmark with these standard deviations."""
    shape = (replicates, problems, samples)
    cells = rng.normal(0, sample, shape) + rng.normal(0, interaction, shape[:2])[..., None]
    cells += rng.normal(0, problem, problems)[:, None] + rng.normal(0, seed, replicates)[:, None, None]
    return cells.mean(axis=2), cells.var(axis=2, ddof=1)


def test_planted_parts_are_found_again():
    mean_RP, variance_RP = planted(np.random.default_rng(0), seed=3.0, problem=5.0, interaction=4.0, sample=8.0)
    found = components({"x": mean_RP}, {"x": variance_RP}, 4)
    assert math.sqrt(found.seed) == pytest.approx(3.0, rel=0.1)
    assert math.sqrt(found.problem * 40) == pytest.approx(5.0, rel=0.25)
    assert math.sqrt(found.interaction * 40) == pytest.approx(4.0, rel=0.05)
    assert math.sqrt(found.sample * 40 * 4) == pytest.approx(8.0, rel=0.05)
    # Four times the problems and twice the samples: what is then drawn has the variance that was foretold.
    again, _ = planted(np.random.default_rng(1), 3.0, 5.0, 4.0, 8.0, problems=160, samples=8)
    assert again.mean(axis=1).var(ddof=1) == pytest.approx(found.of_design(4, 8), rel=0.2)
    assert found.of_design(1, 4) == pytest.approx(mean_RP.mean(axis=1).var(ddof=1), rel=1e-9)


def test_an_average_over_benchmarks_has_their_parts_over_their_number_squared():
    rng = np.random.default_rng(2)
    cells = {name: planted(rng, 0.0, 5.0, 4.0, 8.0) for name in "ab"}
    both = components({n: c[0] for n, c in cells.items()}, {n: c[1] for n, c in cells.items()}, 4)
    each = [components({n: c[0]}, {n: c[1]}, 4) for n, c in cells.items()]
    for part in ("problem", "interaction", "sample"):
        assert getattr(both, part) == pytest.approx(sum(getattr(c, part) for c in each) / 4)


def test_one_replicate_tells_the_sample_alone():
    mean_RP, variance_RP = planted(np.random.default_rng(0), 3.0, 5.0, 4.0, 8.0, replicates=1)
    found = components({"x": mean_RP}, {"x": variance_RP}, 4)
    assert (found.seed, found.problem, found.interaction, found.of_design(1, 4)) == (None, None, None, None)
    assert found.sample > 0


def test_seeds_that_an_effect_needs():
    class Params:
        power, alpha = 0.8, 0.05

    for effect in (1.0, 2.0, 5.0):
        seeds = needed(3.0, effect, 200, Params)
        assert minimum_detectable_difference(3.0, seeds) <= effect
        assert seeds == 2 or minimum_detectable_difference(3.0, seeds - 1) > effect
    assert needed(3.0, 0.1, 200, Params) is None
    assert needed(0.0, 1.0, 200, Params) == 2


def test_rows_against_plain_loops(artifacts, params):
    rows = make(artifacts, params)
    drawn = {m: [samples_of(artifacts / f"evaluate/{m}-s{s}") for s in (1, 2)] for m in ("full", "explorer20")}
    each = [{b: 100 * (a[b] - f[b]) for b in a} for a, f in zip(drawn["explorer20"], drawn["full"], strict=True)]
    noise = (
        sum(np.mean([d[b].var(axis=1, ddof=1) for d in each]) / 4 / each[0][b].shape[0] for b in ("easy", "hard")) / 4
    )
    (row,) = of(rows, what="variance", method="explorer20", against="full", metric="Avg", component="sample")
    assert float(row["sd"]) == pytest.approx(math.sqrt(noise), abs=1e-3)
    averages = [np.mean([d[b].mean() for b in d]) for d in each]
    mean = components(
        {b: np.stack([d[b].mean(axis=1) for d in each]) for b in ("easy", "hard")},
        {b: np.stack([d[b].var(axis=1, ddof=1) for d in each]) for b in ("easy", "hard")},
        4,
    )
    parts = {
        row["component"]: row for row in of(rows, what="variance", method="explorer20", against="full", metric="Avg")
    }
    assert sum(float(parts[c]["percent"]) for c in ("seed", "problem", "seed x problem", "sample")) == pytest.approx(
        100, abs=0.01
    )
    assert float(parts["seed"]["sd"]) == pytest.approx(math.sqrt(mean.seed), abs=1e-3)
    assert mean.of_design(1, 4) >= np.var(averages, ddof=1) - 1e-9
    (detected,) = of(rows, what="detectable", method="explorer20", seeds="5", problems="44", samples="32")
    sd = math.sqrt(mean.of_design(4, 32))
    assert float(detected["sd"]) == pytest.approx(sd, abs=1e-3)
    assert float(detected["mdd"]) == pytest.approx(minimum_detectable_difference(sd, 5), rel=1e-3)
    assert {row["effect"] for row in of(rows, what="needed")} == {"1.0000", "2.0000", "3.0000"}
    assert of(rows, what="variance", method="full", against="full") == []


def test_intervals_are_exact_where_problems_are_coins(artifacts, params):
    row = of(make(artifacts, params), what="interval", method="full", metric="hard (stand-in)")[0]
    share_P = np.mean([samples_of(artifacts / f"evaluate/full-s{s}")["hard"].mean(axis=1) for s in (1, 2)], axis=0)
    assert float(row["mean"]) == pytest.approx(100 * share_P.mean(), abs=1e-4)
    low = stats.beta.ppf(0.025, math.floor(share_P.sum()), 5 - math.floor(share_P.sum()) + 1)
    high = stats.beta.ppf(0.975, math.ceil(share_P.sum()) + 1, 5 - math.ceil(share_P.sum()))
    assert (float(row["low"]), float(row["high"])) == pytest.approx((100 * np.nan_to_num(low), 100 * high), abs=1e-2)
    assert float(row["low"]) < float(row["boot_low"]) < float(row["boot_high"]) < float(row["high"])


@pytest.mark.parametrize("p", [0.03, 0.3])
def test_the_exact_interval_covers_at_thirty_problems(p):
    """Problems of unequal chances, eight samples each: the normal interval covers too rarely where few are right."""
    rng = np.random.default_rng(3)
    covered = normal = 0
    for _ in range(400):
        chance_P = rng.beta(p / 2, (1 - p) / 2, 30)
        share_P = rng.binomial(8, chance_P) / 8
        low = stats.binomtest(math.floor(share_P.sum()), 30).proportion_ci(0.95, "exact").low
        high = stats.binomtest(math.ceil(share_P.sum()), 30).proportion_ci(0.95, "exact").high
        half = 1.96 * share_P.std(ddof=1) / math.sqrt(30)
        covered += low <= p <= high
        normal += abs(share_P.mean() - p) <= half
    assert covered / 400 >= 0.95
    assert normal < covered


def test_the_paper_is_set_beside_what_could_be_found(artifacts, params):
    assert of(make(artifacts, params), what="paper") == []  # neither method has a published Avg beside full
    params["methods"] = ["full", "pred_high20"]
    for seed in (1, 2):
        (artifacts / f"evaluate/explorer20-s{seed}").rename(artifacts / f"evaluate/pred_high20-s{seed}")
        for path in (artifacts / f"evaluate/pred_high20-s{seed}").rglob("run=explorer20"):
            path.rename(path.with_name("run=pred_high20"))
        manifest = artifacts / f"evaluate/pred_high20-s{seed}/manifest.json"
        manifest.write_text(manifest.read_text().replace("run=explorer20", "run=pred_high20"))
    (row,) = of(make(artifacts, params), what="paper")
    assert (row["method"], row["seeds"], float(row["effect"]), row["shown"]) == ("pred_high20", "2", -0.04, "no")
    params["prompts"]["benchmarks"][0]["source"] = {"kind": "file", "path": "mine.jsonl", "format": "simple"}
    assert of(make(artifacts, params), what="paper") == []  # the papers say nothing of one's own benchmark


def test_the_scores_are_those_that_table_1_averages(artifacts, params):
    """Two checkpoints: a sample's value is its mean over them, of the difference too."""
    rng = np.random.default_rng(5)
    methods = ("full", "explorer20")
    for method in methods:
        for seed in (1, 2):
            folder = artifacts / f"evaluate/{method}-s{seed}"
            write_scores(folder, method, seed, STEPS - 2, random_right(rng, 0.5))
            write_manifest(folder)
    last = make(artifacts, params)
    params["analysis"]["table1"]["last_checkpoints"] = 2
    rows = make(artifacts, params)

    def mean_of(method, seed) -> dict[str, np.ndarray]:
        steps = [
            samples_of(artifacts / f"evaluate/{method}-s{seed}/scores/run={method}/seed={seed}/step={step}")
            for step in (STEPS - 2, STEPS)
        ]
        return {b: np.mean([of[b] for of in steps], axis=0) for b in ("easy", "hard")}

    table1, _ = make_table1(artifacts, params)
    for method in methods:
        found = [float(row["mean"]) for row in of(rows, what="interval", method=method)]
        assert found == pytest.approx(
            [100 * np.mean([mean_of(method, s)[b] for s in (1, 2)]) for b in ("easy", "hard")]
        )
        assert np.mean(found) == pytest.approx(float(by_key(table1)[method, "all"]["Avg"]), abs=1e-4)
        assert found != [float(row["mean"]) for row in of(last, what="interval", method=method)]
    each = [{b: 100 * (mean_of("explorer20", s)[b] - mean_of("full", s)[b]) for b in ("easy", "hard")} for s in (1, 2)]
    part = components(
        {b: np.stack([d[b].mean(axis=1) for d in each]) for b in ("easy", "hard")},
        {b: np.stack([d[b].var(axis=1, ddof=1) for d in each]) for b in ("easy", "hard")},
        4,
    )
    for row in of(rows, what="detectable", method="explorer20"):
        sd = math.sqrt(part.of_design(int(row["problems"]) / 11, int(row["samples"])))
        assert float(row["sd"]) == pytest.approx(sd, abs=1e-3)
        assert float(row["mdd"]) == pytest.approx(minimum_detectable_difference(sd, int(row["seeds"])), rel=1e-3)
    params["analysis"]["table1"]["last_checkpoints"] = 3
    with pytest.raises(
        UserError, match=r"-s[12]: 2 evaluated checkpoints, analysis.table1.last_checkpoints asks for 3"
    ):
        make(artifacts, params)


def test_every_option_changes_the_designs(artifacts, params):
    changed = {"seeds": [4], "problems": [2], "samples": [16], "effects": [0.5]}
    rows = make(artifacts, params, **changed)
    assert {row["seeds"] for row in of(rows, what="detectable")} == {"4"}
    assert {(row["problems"], row["samples"]) for row in of(rows, what="detectable")} == {("22", "16")}
    assert {row["effect"] for row in of(rows, what="needed")} == {"0.5000"}
    needs = of(make(artifacts, params, **changed | {"effects": [20.0], "most": 200}), what="needed")
    assert any(row["seeds"] for row in needs)
    assert not any(row["seeds"] for row in of(make(artifacts, params, **changed, most=3), what="needed"))
