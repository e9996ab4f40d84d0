"""What is missing, damaged, half written or taken is one line, and the rest is shown."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from view_kit import LENGTHS, TOKEN, ask, ready_store, served, write_preset, write_tables

from tokenspectrum.errors import UserError
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.tokenlog.writer import SCHEMA_VERSION, write_file, write_manifest
from tokenspectrum.view.bundle import script
from tokenspectrum.view.export import Wanted, export
from tokenspectrum.view.filters import Filters
from tokenspectrum.view.read import align, column_values
from tokenspectrum.view.server import listen
from tokenspectrum.view.steps import complete_steps
from tokenspectrum.view.strip import attention, floats, strip

FIRST = {"sort": "logged", "down": False, "limit": 50, "offset": 0}


def test_no_tables_yet_is_one_line_and_the_page_fills_later(tmp_path):
    store = ready_store(tmp_path / "small")
    assert store.notices == [f"{tmp_path}/small: no responses yet; the page fills when the rollouts stage is done"]
    assert store.state()["runs"] == []
    with served(store) as address:
        assert ask(address, f"/{TOKEN}/api/responses")[0] == 200
    write_preset(tmp_path / "small")
    store.refresh()
    assert store.notices == []
    assert store.responses(Filters(), None, FIRST)["total"] == 30


def test_a_preset_without_layers_is_one_line(tmp_path):
    store = ready_store(write_preset(tmp_path / "small", layers=()))
    assert store.notices == ["no attention was logged here: outlines go by predictive entropy alone"]
    body = strip(store, ("full", 1, 1), 3)
    assert body["rows"] == {}
    assert set(body["values"]) == {
        f"tokens.{n}" for n in ("logprob", "rollout_logprob", "predictive_entropy", "advantage")
    }
    with pytest.raises(UserError, match="no attention rows were logged at this step"):
        attention(store, ("full", 1, 1), 3, 0)


@pytest.mark.parametrize("table", ["responses", "tokens", "attention"])
def test_a_damaged_parquet_costs_its_own_step_alone(tmp_path, table):
    artifacts = write_preset(tmp_path / "small")
    (path,) = artifacts.glob(f"train/full-s1/tokenlog/{table}/run=full/seed=1/step=2/*.parquet")
    path.write_bytes(path.read_bytes()[:-40])
    store = ready_store(artifacts)
    cloud = store.cloud("tokens.predictive_entropy", "attention.entropy_norm.1", Filters())
    (line,) = store.notices
    assert line.startswith(f"{path}: not a readable Parquet file")
    assert line.endswith("run its stage again")
    assert sum(cloud["n"]) == (5 if table == "attention" else 4) * sum(LENGTHS)
    assert store.responses(Filters(), None, FIRST)["total"] == (24 if table == "responses" else 30)
    if table == "tokens":
        with pytest.raises(UserError, match="not a readable Parquet file"):
            strip(store, ("full", 1, 2), 3)
    if table == "attention":
        body = strip(store, ("full", 1, 2), 3)
        assert body["notes"][0].startswith(str(path))
        assert "tokens.logprob" in body["values"]


def test_a_column_that_an_older_version_did_not_write_is_a_notice(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    (path,) = artifacts.glob("train/full-s1/tokenlog/tokens/run=full/seed=1/step=2/*.parquet")
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns("predictive_entropy"), path)
    store = ready_store(artifacts)
    cloud = store.cloud("tokens.predictive_entropy", "attention.entropy_norm.1", Filters())
    assert store.notices == [f"{path}: no column predictive_entropy; an older version made it: run its stage again"]
    assert sum(cloud["n"]) == 5 * sum(LENGTHS)


@pytest.mark.parametrize("table", ["responses", "tokens", "attention"])
def test_a_damaged_file_that_is_put_back_is_read_and_its_notice_goes(tmp_path, table):
    artifacts = write_preset(tmp_path / "small")
    (path,) = artifacts.glob(f"train/full-s1/tokenlog/{table}/run=full/seed=1/step=2/*.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    store = ready_store(artifacts)
    axes = ("tokens.predictive_entropy", "attention.entropy_norm.1")
    store.cloud(*axes, Filters())
    assert len(store.notices) == 1
    path.write_bytes(whole)
    store.refresh()
    cloud = store.cloud(*axes, Filters())
    assert store.notices == []
    assert sum(cloud["n"]) == 5 * sum(LENGTHS)
    assert 64 not in cloud["x"] + cloud["y"]
    begun = store.begun
    store.refresh()
    assert store.begun == begun


def test_problems_that_were_damaged_are_read_when_they_are_put_back(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    (path,) = artifacts.glob("prompts/train/*.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    store = ready_store(artifacts)
    assert len(store.notices) == 1
    path.write_bytes(whole)
    store.refresh()
    assert store.notices == []
    assert store.responses(Filters(source="small"), None, FIRST)["total"] == 15


def test_a_damaged_manifest_and_a_folder_without_one(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    (artifacts / "train/full-s1/tokenlog/manifest.json").write_text("{")
    (artifacts / "train/full-s2/tokenlog/manifest.json").unlink()
    store = ready_store(artifacts)
    (line,) = store.notices
    assert "full-s1/tokenlog/manifest.json: not a manifest" in line
    assert {entry["run"] for entry in store.state()["runs"]} == {"base"}


def test_a_half_written_step_waits(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    outputs = tmp_path / "ckpt" / "train@x-1" / "key" / "outputs" / "tokenlog"
    for step in (1, 2, 3):
        write_tables(outputs, ("x", 1, step))
    (attention_file,) = outputs.glob("attention/run=x/seed=1/step=3/*.parquet")
    hidden = attention_file.with_name(".part-0.parquet.1.tmp")
    attention_file.rename(hidden)
    store = ready_store(artifacts, tmp_path / "ckpt")
    entry = next(entry for entry in store.state()["runs"] if entry["run"] == "x")
    assert (entry["steps"], entry["live"]) == ([1, 2], True)
    assert store.notices == ["run x seed 1: step 3 is being written; it shows when it is whole"]
    hidden.rename(attention_file)
    store.refresh()
    assert store.notices == []
    assert next(entry for entry in store.state()["runs"] if entry["run"] == "x")["steps"] == [1, 2, 3]


def test_a_run_that_ends_moves_and_one_that_begins_again_loses_steps(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    outputs = tmp_path / "ckpt" / "train@x-1" / "key" / "outputs" / "tokenlog"
    for step in (1, 2, 3):
        write_tables(outputs, ("x", 1, step))
    store = ready_store(artifacts, tmp_path / "ckpt")
    for path in outputs.glob("*/run=x/seed=1/step=3/*.parquet"):
        path.unlink()
    store.refresh()
    assert store.responses(Filters(runs=("x",)), None, FIRST)["total"] == 2 * len(LENGTHS)
    published = artifacts / "train" / "x-s1" / "tokenlog"
    published.parent.mkdir(parents=True)
    outputs.rename(published)
    write_manifest(published)
    store.refresh()
    entry = next(entry for entry in store.state()["runs"] if entry["run"] == "x")
    assert (entry["steps"], entry["live"]) == ([1, 2], False)
    assert strip(store, ("x", 1, 2), 3)["facts"]["n_tokens"] == 40


def test_shards_of_a_table_that_is_not_shown_are_no_notice(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    for shard in (1, 2):
        root = artifacts / "sample" / "1" / str(shard)
        (root / "drawn/run=base/seed=1/step=0").mkdir(parents=True)
        (root / "drawn/run=base/seed=1/step=0/part-0.parquet").write_bytes(b"")
        manifest = {"schema_version": SCHEMA_VERSION, "files": {"drawn/run=base/seed=1/step=0/part-0.parquet": {}}}
        (root / "manifest.json").write_text(json.dumps(manifest))
    assert ready_store(artifacts).notices == []


def test_rewards_that_are_no_finite_number_are_shown_and_said(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    (path,) = artifacts.glob("train/full-s1/tokenlog/responses/run=full/seed=1/step=1/*.parquet")
    columns = read_file(path).to_pydict()
    columns["reward"][0], columns["reward"][1], columns["advantage"][2] = np.nan, np.inf, -np.inf
    write_file(path, TABLES["responses"], columns)
    store = ready_store(artifacts)
    assert store.notices == ["responses whose reward or advantage is no finite number: 3"]
    with served(store) as address:
        for query in ("", "?sort=reward&down=1", "?reward_from=0"):
            status, _, body = ask(address, f"/{TOKEN}/api/responses{query}")
            assert status == 200
        rows = json.loads(ask(address, f"/{TOKEN}/api/responses?run=full&seed=1&step_to=1")[2])["rows"]
        assert [row["reward"] for row in rows[:2]] == ["NaN", "Infinity"]
        assert rows[2]["advantage"] == "-Infinity"
        body = json.loads(ask(address, f"/{TOKEN}/api/response?run=full&seed=1&step=1&response=0")[2])
        assert body["facts"]["reward"] == "NaN"
        assert body["notes"] == ["no finite number: reward"]
    # NaN is no number from 0 on, though DuckDB holds it above all.
    found = store.responses(Filters(runs=("full",), seeds=(1,), step_to=1, reward_from=0), None, FIRST)["rows"]
    assert [row["response_id"] for row in found] == [1, 2, 4]
    assert export(store, Wanted(["full"], [1], 1, "", 8), tmp_path / "page.html") == len(LENGTHS)
    assert '"reward": "NaN"' in (tmp_path / "page.html").read_text()


def test_which_steps_of_a_training_run_are_whole():
    whole = {"responses", "tokens", "attention"}
    assert complete_steps({}) == []
    assert complete_steps({1: whole}) == []  # nothing to measure it by
    assert complete_steps({1: whole, 2: {"responses"}}) == [1]
    assert complete_steps({1: whole | {"attention_rows"}, 2: whole}) == [1, 2]
    assert complete_steps({1: whole, 2: whole, 3: {"responses", "tokens"}}) == [1, 2]


def test_a_port_that_is_taken_is_one_line_and_the_usual_one_gives_way():
    with listen(0, 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"view: port {port} cannot be used .*give another by --port, or 0"):
            listen(port, 8765)
        with listen(None, port) as other:
            assert other.getsockname()[1] not in (0, port)


@pytest.mark.parametrize("port", [-1, 65536, 10**12])
def test_a_number_that_is_no_port_is_one_line(port):
    with pytest.raises(UserError, match=rf"view: port {port} cannot be used \(a port is 0 to 65535\)"):
        listen(port, 8765)


def test_the_page_can_be_bundled_without_an_import_left():
    code = script()
    assert not re.search(r"^\s*(import|export)\b", code, re.MULTILINE)
    assert "</script" not in code


def test_values_go_to_their_own_tokens_whatever_the_order_of_the_rows():
    wanted_N = np.array([5, 1, 9, 3])
    value_M = align(wanted_N, np.array([3, 5, 7, 1]), np.array([0.3, 0.5, 0.7, 0.1], np.float32))
    np.testing.assert_array_equal(value_M, np.array([0.5, 0.1, np.nan, 0.3], np.float32))
    nothing = align(wanted_N, np.zeros(0, np.int64), np.zeros(0, np.float32))
    assert np.isnan(nothing).all()


def test_a_layer_that_lies_in_another_order_is_read_alike(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    column = "attention.distance.1"
    before = strip(ready_store(artifacts), ("full", 1, 1), 3)["values"][column]
    root = artifacts / "train" / "full-s1" / "tokenlog"
    path = root / "attention/run=full/seed=1/step=1/part-0.parquet"
    table = read_file(path)
    write_file(path, TABLES["attention"], table.take(np.random.default_rng(0).permutation(table.num_rows)))
    write_manifest(root)
    store = ready_store(artifacts)
    assert strip(store, ("full", 1, 1), 3)["values"][column] == before
    (step,) = [step for key, step in store.steps.items() if key == ("full", 1, 1)]
    values = column_values(step, store.column(column))
    start = sum(LENGTHS[:3])
    assert floats(values[start : start + LENGTHS[3]]) == before


@pytest.mark.parametrize("column", ["distance", "entropy_norm", "visible", "response_id"])
def test_one_attention_file_of_an_older_version_does_not_end_the_page(tmp_path, column):
    artifacts = write_preset(tmp_path / "small")
    (path,) = artifacts.glob("train/full-s1/tokenlog/attention/run=full/seed=1/step=1/*.parquet")
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(column), path)
    body = strip(ready_store(artifacts), ("full", 1, 1), 3)
    assert "tokens.logprob" in body["values"]
    assert not any(f".{column}." in name for name in body["values"])
    if column == "response_id":
        assert body["notes"] == [f"{path}: no column response_id; an older version made it: run its stage again"]
