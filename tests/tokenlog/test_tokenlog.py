"""The token log: whole files or none, same rows same bytes, nothing read without an intact manifest."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenspectrum.errors import UserError
from tokenspectrum.tables import attention_rows, scores, tokens
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog import reader, writer


def token_columns(n: int) -> dict:
    rng = np.random.default_rng(n)
    floats = ("logprob", "rollout_logprob", "predictive_entropy", "advantage", "weight", "ratio", "loss")
    ints = ("response_id", "position", "token_id", "minibatch")
    return {k: rng.normal(size=n).astype(np.float32) for k in floats} | {k: np.arange(n) // 7 for k in ints}


def test_rows_come_back_as_written_with_hive_keys(tmp_path):
    columns = token_columns(1000)
    writer.write_step(tmp_path, "tokens", tokens.SCHEMA, columns, run="anchor20", seed=3, step=12)
    writer.write_manifest(tmp_path)
    table = reader.read_table(tmp_path, "tokens")
    for name, values in columns.items():
        np.testing.assert_array_equal(table[name].to_numpy(), values.astype(table[name].type.to_pandas_dtype()))
    assert set(table["run"].to_pylist()) == {"anchor20"}
    assert set(table["seed"].to_pylist()) == {3}
    assert set(table["step"].to_pylist()) == {12}


def test_steps_are_selected_by_number_not_by_text(tmp_path):
    for step in (1, 10):
        writer.write_step(tmp_path, "tokens", tokens.SCHEMA, token_columns(step), run="r", seed=0, step=step)
    writer.write_manifest(tmp_path)
    assert reader.read_table(tmp_path, "tokens", step=1).num_rows == 1
    assert reader.read_table(tmp_path, "tokens").num_rows == 11
    with pytest.raises(UserError, match="no rows of table tokens at step 2"):
        reader.read_table(tmp_path, "tokens", step=2)


def test_same_rows_same_bytes(tmp_path):
    paths = [writer.write_file(tmp_path / n, tokens.SCHEMA, token_columns(500)) for n in ("a.parquet", "b.parquet")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_encodings_are_those_of_the_data_model(tmp_path):
    path = writer.write_file(tmp_path / "t.parquet", tokens.SCHEMA, token_columns(5000))
    group = pq.read_metadata(path).row_group(0)
    chunks = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert {c.compression for c in chunks.values()} == {"ZSTD"}
    assert "BYTE_STREAM_SPLIT" in chunks["logprob"].encodings
    assert "DELTA_BINARY_PACKED" in chunks["position"].encodings


def test_missing_nullable_column_becomes_null_and_a_missing_key_is_refused(tmp_path):
    columns = token_columns(5)
    del columns["ratio"]
    table = reader.read_file(writer.write_file(tmp_path / "t.parquet", tokens.SCHEMA, columns))
    assert table["ratio"].null_count == 5
    del columns["logprob"]
    with pytest.raises(UserError, match=r"logprob: 5 of 5 rows are null"):
        writer.write_file(tmp_path / "u.parquet", tokens.SCHEMA, columns)
    with pytest.raises(UserError, match="unheard_of"):
        writer.write_file(tmp_path / "u.parquet", tokens.SCHEMA, columns | {"unheard_of": columns["position"]})
    assert not (tmp_path / "u.parquet").exists()


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch):
    path = writer.write_file(tmp_path / "t.parquet", tokens.SCHEMA, token_columns(5))
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        writer.write_file(path, tokens.SCHEMA, token_columns(6))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["t.parquet"]


def test_folder_without_manifest_is_not_read(tmp_path):
    writer.write_step(tmp_path, "tokens", tokens.SCHEMA, token_columns(3), run="r", seed=0, step=0)
    with pytest.raises(UserError, match=r"no manifest\.json"):
        reader.read_table(tmp_path, "tokens")


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damage_is_named(tmp_path, damage):
    path = writer.write_step(tmp_path, "tokens", tokens.SCHEMA, token_columns(300), run="r", seed=0, step=0)
    writer.write_manifest(tmp_path)
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        data[100] ^= 1
        path.write_bytes(data if damage == "flip" else data[:50])
    with pytest.raises(UserError, match=r"step=0/part-0\.parquet"):
        reader.read_table(tmp_path, "tokens")


def test_a_file_that_the_manifest_does_not_list_is_not_read(tmp_path):
    writer.write_step(tmp_path, "tokens", tokens.SCHEMA, token_columns(3), run="r", seed=0, step=0)
    writer.write_manifest(tmp_path)
    writer.write_step(tmp_path, "tokens", tokens.SCHEMA, token_columns(4), run="r", seed=0, step=1)
    assert reader.read_table(tmp_path, "tokens").num_rows == 3


def test_manifest_holds_content_only(tmp_path):
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in roots:
        writer.write_step(root, "tokens", tokens.SCHEMA, token_columns(30), run="r", seed=0, step=0)
        writer.write_manifest(root)
    assert roots[0].joinpath("manifest.json").read_bytes() == roots[1].joinpath("manifest.json").read_bytes()


def test_lists_of_halves_and_strings_round_trip(tmp_path):
    rows = [[0.5, 0.25, 0.25], [1.0], []]
    ids = {"response_id": [0, 1, 2], "position": [0, 0, 0], "layer": [1, 1, 1]}
    path = writer.write_file(tmp_path / "rows.parquet", attention_rows.SCHEMA, ids | {"row": rows})
    assert reader.read_file(path, attention_rows.SCHEMA)["row"].to_pylist() == rows
    columns = {
        "benchmark": ["MATH"] * 2,
        "prompt_id": ["p"] * 2,
        "sample": [0, 1],
        "answer": [None, "\\frac{é}"],
        "correct": [False, True],
        "correct_alt": [False, True],
        "n_tokens": [3, 4],
    }
    path = writer.write_file(tmp_path / "scores.parquet", scores.SCHEMA, columns)
    assert reader.read_file(path, scores.SCHEMA).to_pydict() == columns


def test_every_table_declares_its_key_and_describes_its_columns():
    for name, schema in TABLES.items():
        key = schema.metadata[b"key"].decode().split(",")
        hive = {"run", "seed", "step"}
        assert set(key) - hive <= set(schema.names), name
        assert not hive & set(schema.names), name
        assert all(field.metadata[b"description"] for field in schema), name
        assert all(not schema.field(k).nullable or k == "layer" for k in key if k not in hive), name


def test_an_empty_table_keeps_its_types(tmp_path):
    path = writer.write_file(tmp_path / "e.parquet", tokens.SCHEMA, {name: [] for name in tokens.SCHEMA.names})
    table = reader.read_file(path, tokens.SCHEMA)
    assert table.num_rows == 0
    assert table.schema.field("logprob").type == pa.float32()
