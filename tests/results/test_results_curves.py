"""Training curves: the points against loops, captions that follow the spec, and the same bytes every time."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from results_fixtures import chunks, save_params

from tokenspectrum.results.curves import CurveMetric
from tokenspectrum.results.figures import METRICS, training_curve
from tokenspectrum.results.lines import panels, trailing_mean
from tokenspectrum.stages import result
from tokenspectrum.tables.metrics import SCHEMA
from tokenspectrum.tokenlog.reader import read_table
from tokenspectrum.tokenlog.writer import write_manifest

CSV, PNG = Path("results/curves.csv"), Path("results/curves.png")


def make(artifacts, params) -> bytes:
    save_params(params)
    result.main(
        [
            "tokenspectrum.results.curves.result",
            "--metrics",
            str(artifacts / "metrics"),
            "--csv",
            str(CSV),
            "--png",
            str(PNG),
        ]
    )
    return PNG.read_bytes()


def test_points_against_plain_loops(artifacts, params):
    make(artifacts, params)
    with CSV.open() as f:
        rows = list(csv.DictReader(f))
    assert [(r["method"], r["metric"], int(r["step"])) for r in rows] == [
        (m, metric, step)
        for m in params["methods"]
        for metric in params["analysis"]["curves"]["metrics"]
        for step in range(1, 5)
    ]
    for row in rows:
        values = []
        for seed in (1, 2):
            table = read_table(artifacts / f"metrics/{row['method']}-s{seed}", "metrics", step=int(row["step"]))
            values.append(table[row["metric"]][0].as_py())
        assert row["n"] == "2"
        for name, expected in (
            ("mean", np.mean(values)), ("sd", np.std(values, ddof=1)), ("low", min(values)), ("high", max(values))
        ):  # fmt: skip
            assert float(row[name]) == pytest.approx(expected, abs=1e-4)


def test_the_figure_has_the_same_bytes_and_no_date_or_version(artifacts, params, tmp_path, monkeypatch):
    first = make(artifacts, params)
    assert first == make(artifacts, params)
    assert chunks(first) <= {b"IHDR", b"pHYs", b"IDAT", b"IEND", b"Description"}


def test_every_option_changes_the_figure(artifacts, params):
    seen = {make(artifacts, params)}
    params["analysis"]["curves"]["metrics"] = ["length", "attention_entropy"]
    seen.add(make(artifacts, params))
    points = CSV.read_bytes()
    params["analysis"]["curves"]["smooth"] = 2
    seen.add(make(artifacts, params))
    assert CSV.read_bytes() == points  # smoothing is drawn, not written
    params["train"]["token_log"]["layers"] = ["rule"]
    seen.add(make(artifacts, params))
    params["tokens"]["alignment"] = "token"
    seen.add(make(artifacts, params))
    params["analysis"]["table1"]["labels"]["full"] = "All tokens"
    seen.add(make(artifacts, params))
    params["replicates"] = params["replicates"][:1]
    seen.add(make(artifacts, params))
    assert len(seen) == 7


def test_a_column_a_method_and_the_reference_above_all_of_them(artifacts, params):
    make(artifacts, params)
    labels = {"full": "Full", "explorer20": "Explorer", "anchor20": "Anchor"}
    points = [
        {"method": method, "metric": "length", "step": step, "mean": 1.0, "low": 0.5, "high": 1.5}
        for method in labels for step in (1, 2, 3)
    ]  # fmt: skip
    figure = panels(points, [training_curve("length", 3, "mid", "decision")], labels, "full")
    assert [axis.get_title() for axis in figure.axes] == ["Explorer", "Anchor"]
    for axis in figure.axes:
        own, reference = axis.lines
        assert reference.get_zorder() > own.get_zorder()
        assert reference.get_linewidth() > own.get_linewidth()
        assert reference.get_linestyle() == "--"
    assert "dashed black line in every panel: Full." in figure.texts[0].get_text()
    alone = panels(points, [training_curve("length", 3, "mid", "decision")], {"full": "Full"}, "full")
    assert [(axis.get_title(), len(axis.lines)) for axis in alone.axes] == [("Full", 1)]


def test_a_run_without_attention_log_leaves_a_gap(artifacts, params):
    for folder in (artifacts / "metrics").glob("full-s*"):
        for path in folder.rglob("*.parquet"):
            table = pq.ParquetFile(path).read()
            index = table.schema.get_field_index("attention_entropy")
            nulls = pa.nulls(table.num_rows, pa.float64())
            pq.write_table(table.set_column(index, table.schema.field(index), nulls), path)
        write_manifest(folder)
    make(artifacts, params)
    with CSV.open() as f:
        found = {(r["method"], r["metric"]) for r in csv.DictReader(f)}
    assert ("full", "attention_entropy") not in found
    assert ("explorer20", "attention_entropy") in found


def test_captions_and_labels_follow_the_spec():
    spec = training_curve("attention_entropy", 3, "mid", "decision or token", 5)
    assert spec.caption == (
        "attention_entropy: attention entropy / ln(visible), mean over tokens of a step; layer mid, alignment decision"
        " or token; trailing mean of 5 steps: mean of n = 3 replicates; band: lowest to highest replicate."
    )
    assert training_curve("length", 1, "mid", "token").caption == (
        "length: response length, mean over responses of a step; line: mean of n = 1 replicate."
    )
    assert training_curve("length", 1, "mid", "token").y_label == "response length [tokens]"


def test_every_metric_that_params_allow_is_described_and_in_the_table():
    assert set(CurveMetric.__args__) == set(METRICS)
    assert set(METRICS) <= set(SCHEMA.names)


@pytest.mark.parametrize("window", [1, 2, 5, 9])
def test_trailing_mean_against_a_loop(window):
    x = np.random.default_rng(0).normal(size=5)
    expected = [x[max(0, i - window + 1) : i + 1].mean() for i in range(5)]
    assert trailing_mean(x, window) == pytest.approx(expected)
