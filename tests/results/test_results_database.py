"""The token database: what it lists, what it leaves out, and its macros against plain loops."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import duckdb
import numpy as np
import pytest
from results_fixtures import WANTED, WORDS

from tokenspectrum.errors import UserError
from tokenspectrum.results.database import rebuild
from tokenspectrum.results.sources import Wanted
from tokenspectrum.tables.registry import TABLES

DATABASE = Path("results/tokens.duckdb")


def connect(artifacts, wanted=WANTED):
    rebuild(DATABASE, artifacts, wanted)
    return duckdb.connect(DATABASE, read_only=True)


def column(connection, query):
    return [row[0] for row in connection.execute(query).fetchall()]


def test_every_table_has_its_key_and_columns(artifacts):
    connection = connect(artifacts)
    empty = {"sampled"}
    assert set(column(connection, "SELECT view_name FROM duckdb_views() WHERE NOT internal")) == set(TABLES)
    for table in TABLES:
        hive = [k for k in ("run", "seed", "step") if k in TABLES[table].metadata[b"key"].decode().split(",")]
        names = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
        assert names == [*hive, *TABLES[table].names]
        assert (connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0) == (table in empty)
    assert connection.execute("SELECT DISTINCT typeof(run), typeof(seed), typeof(step) FROM tokens").fetchall() == [
        ("VARCHAR", "INTEGER", "INTEGER")
    ]
    assert connection.execute('SELECT "row" FROM attention_rows LIMIT 1').fetchone()[0] == [0.25, 0.75]
    assert connection.execute("SELECT count(*) FROM sources WHERE problem IS NOT NULL").fetchone() == (0,)


def test_duckdb_from_1_2_on_can_open_the_file(artifacts):
    connect(artifacts).close()
    # DuckDB's header: a checksum of 8 bytes, "DUCK", the storage version.  1.2 reads versions up to 65.
    with DATABASE.open("rb") as file:
        header = file.read(20)
    assert header[8:12] == b"DUCK"
    assert int.from_bytes(header[12:20], "little") <= 65


def test_views_list_exactly_the_runs_that_params_name(artifacts):
    both = connect(artifacts)
    assert set(column(both, "SELECT DISTINCT run || seed FROM metrics")) == {
        "full1", "full2", "explorer201", "explorer202"
    }  # fmt: skip
    assert set(column(both, "SELECT DISTINCT seed FROM tokens WHERE run = 'base'")) == {7, 8}
    assert set(column(both, "SELECT DISTINCT seed FROM scores WHERE run = 'base'")) == {1, 2}
    both.close()
    one = connect(artifacts, Wanted(["full"], [2], [8]))
    for table in ("tokens", "attention", "attention_rows", "responses", "weights"):
        assert set(column(one, f"SELECT DISTINCT seed FROM {table} WHERE run = 'base'")) == {8}
    for table in ("tokens", "attention", "responses", "scores"):
        assert set(column(one, f"SELECT DISTINCT run || seed FROM {table} WHERE run <> 'base'")) == {"full2"}
    assert set(column(one, "SELECT DISTINCT rule FROM weights")) == {"full"}


def test_a_file_that_no_manifest_lists_is_not_read(artifacts):
    folder = artifacts / "metrics/full-s1/metrics/run=full/seed=1"
    (folder / "step=99").mkdir()
    shutil.copy(folder / "step=1/part-0.parquet", folder / "step=99/part-0.parquet")
    assert 99 not in column(connect(artifacts), "SELECT step FROM metrics")


def test_a_folder_without_manifest_is_not_read_and_is_named(artifacts):
    (artifacts / "metrics/full-s1/manifest.json").unlink()
    connection = connect(artifacts)
    assert set(column(connection, "SELECT run || seed FROM metrics")) == {"full2", "explorer201", "explorer202"}
    problems = dict(connection.execute("SELECT folder, problem FROM sources WHERE problem IS NOT NULL").fetchall())
    assert list(problems) == ["artifacts/small/metrics/full-s1"]
    assert "manifest.json" in problems["artifacts/small/metrics/full-s1"]


def test_a_folder_of_another_run_is_not_read_and_is_named(artifacts):
    for kind in ("train", "metrics"):
        shutil.rmtree(artifacts / kind / "full-s1")
        shutil.copytree(artifacts / kind / "explorer20-s1", artifacts / kind / "full-s1")
    found = [f for f in rebuild(DATABASE, artifacts, WANTED) if f.problem]
    assert {f.place.folder.parent.name for f in found} == {"metrics", "full-s1"}
    assert all("is not of run=full seed=1" in f.problem for f in found)


def test_a_probe_of_another_base_policy_is_not_read_and_is_named(artifacts):
    shutil.rmtree(artifacts / "tokens/7")
    shutil.copytree(artifacts / "tokens/8", artifacts / "tokens/7")
    connection = connect(artifacts)
    assert column(connection, "SELECT DISTINCT seed FROM tokens WHERE run = 'base'") == [8]
    problems = dict(connection.execute("SELECT folder, problem FROM sources WHERE problem IS NOT NULL").fetchall())
    assert list(problems) == ["artifacts/small/tokens/7"]
    assert "is not of run=base seed=7" in problems["artifacts/small/tokens/7"]


def test_the_vocabulary_is_that_of_the_first_base_and_read_once(artifacts):
    connection = connect(artifacts)
    assert column(connection, "SELECT text FROM vocab ORDER BY token_id") == list(WORDS)
    folders = column(connection, "SELECT folder FROM sources WHERE folder LIKE '%/vocab/%'")
    assert folders == ["artifacts/small/vocab/7"]


def test_stages_that_have_not_run_are_listed_and_the_rest_works(artifacts):
    for name in ("attention", "train", "metrics", "evaluate", "evaluate_base"):
        shutil.rmtree(artifacts / name)
    connection = connect(artifacts)
    assert column(connection, "SELECT DISTINCT run FROM tokens") == ["base"]
    missing = column(connection, "SELECT DISTINCT problem FROM sources WHERE folder LIKE '%/train/%'")
    assert missing == ["not made yet"]
    assert column(connection, "SELECT count(*) FROM metrics JOIN attention USING (run, seed, step)") == [0]
    assert column(connection, "SELECT count(*) FROM anchors(1, 0.2)") == [0]
    connection.close()
    shutil.rmtree(artifacts)
    assert column(connect(artifacts), "SELECT count(*) FROM sources WHERE problem = 'not made yet'") == [49]


def test_an_unreadable_table_is_one_line_that_names_the_file(artifacts):
    path = artifacts / "tokens/7/tokens/run=base/seed=7/step=0/part-0.parquet"
    path.write_bytes(b"not parquet")
    with pytest.raises(UserError, match=r"part-0\.parquet") as e:
        rebuild(DATABASE, artifacts, WANTED)
    assert "\n" not in str(e.value)
    assert list(Path("results").iterdir()) == []


def test_paths_are_relative_to_the_repository_root(artifacts, tmp_path, monkeypatch):
    rebuild(DATABASE, artifacts, WANTED)
    moved = tmp_path.parent / "moved"
    shutil.copytree(tmp_path, moved)
    shutil.rmtree(tmp_path / "artifacts")
    monkeypatch.chdir(moved)
    assert column(duckdb.connect(DATABASE, read_only=True), "SELECT count(*) FROM tokens")[0] > 0


@pytest.mark.parametrize("p", [0.2, 0.5, 0.1])
@pytest.mark.parametrize("score", ["entropy_norm", "entropy_raw"])
def test_partitions_against_a_loop_with_ties_and_one_token_responses(artifacts, p, score):
    connection = connect(artifacts)
    responses = defaultdict(list)
    for row in connection.execute(
        f"SELECT run, seed, step, response_id, position, {score} FROM attention WHERE layer = 3"
    ).fetchall():
        responses[row[:4]].append((row[5], row[4]))
    anchors, explorers = set(), set()
    for key, tokens in responses.items():
        k = max(1, math.floor(p * len(tokens) + 0.5))
        order = sorted(tokens)
        anchors |= {(*key, position) for _, position in order[:k]}
        explorers |= {(*key, position) for _, position in order[-k:]}
    key = "run, seed, step, response_id, position"
    for name, expected in (("anchors", anchors), ("explorers", explorers)):
        got = connection.execute(f"SELECT {key} FROM {name}(3, {p}, score := '{score}')").fetchall()
        assert len(got) == len(expected)
        assert set(got) == expected
        flagged = connection.execute(f"SELECT {key} FROM partitions(3, {p}, score := '{score}') WHERE {name[:-1]}")
        assert set(flagged.fetchall()) == expected


def test_the_size_of_a_partition_is_computed_in_doubles(artifacts):
    connection = connect(artifacts)
    for p in (0.29, 0.2, 0.35, 0.145):
        for n in (1, 2, 5, 10, 50, 100, 1000):
            expected = max(1, math.floor(p * n + 0.5))
            assert connection.execute(f"SELECT partition_size({p}, {n})").fetchone() == (expected,), (p, n)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("FROM anchors(1.5, .2)", r"layer 1\.5: a whole number, from 0"),
        ("FROM quadrants(NULL)", "layer NULL: a whole number, from 0"),
        ("FROM quadrants(1.5)", r"layer 1\.5: a whole number, from 0"),
        ("FROM explorers(1, 20)", "p is a fraction above 0 and at most 1, not 20"),
        ("SELECT partition_size(20, 5)", "p is a fraction above 0 and at most 1, not 20"),
        ("SELECT partition_size(NULL, 5)", "p is a fraction above 0 and at most 1, not NULL"),
        ("FROM quadrants(1, cut := 2)", "cut is a quantile above 0 and below 1, not 2"),
        ("FROM quadrants(1, within := 'batch')", "quadrants: within is response or step"),
        ("FROM quadrants(1, cut := 0)", "cut is a quantile above 0 and below 1, not 0"),
    ],
)
def test_an_argument_out_of_range_is_named_with_the_range(artifacts, query, said):
    with pytest.raises(duckdb.Error, match=said):
        connect(artifacts).execute(query).fetchall()


@pytest.mark.parametrize(
    ("asked", "within", "cut"),
    [("1", 4, 0.5), ("1, cut := 0.8", 4, 0.8), ("1, within := 'step'", 3, 0.5), ("1, 0.8, 'step'", 3, 0.8)],
)
def test_quadrants_against_numpy(artifacts, asked, within, cut):
    connection = connect(artifacts)
    key = "run, seed, step, response_id, position"
    join = f"FROM tokens JOIN attention USING ({key}) WHERE layer = 1"
    rows = connection.execute(f"SELECT {key}, predictive_entropy, entropy_norm {join}").fetchall()
    batches = defaultdict(list)
    for row in rows:
        batches[row[:within]].append(row)
    expected = {}
    for batch in batches.values():
        x, y = np.array([r[5] for r in batch]), np.array([r[6] for r in batch])
        for row, high_x, high_y in zip(batch, x > np.quantile(x, cut), y > np.quantile(y, cut), strict=True):
            words = [("low", "high")[int(h)] for h in (high_x, high_y)]
            expected[row[:5]] = f"predictive {words[0]}, attention {words[1]}"
    got = {row[:5]: row[5] for row in connection.execute(f"SELECT {key}, quadrant FROM quadrants({asked})").fetchall()}
    assert got == expected
    assert len(set(got.values())) == 4


def test_an_unknown_score_is_refused(artifacts):
    with pytest.raises(duckdb.Error, match="score is entropy_norm or entropy_raw"):
        connect(artifacts).execute("SELECT * FROM anchors(3, 0.2, score := 'entropy')").fetchall()


def test_rebuilding_over_many_files_takes_under_two_seconds(artifacts):
    source = artifacts / "train/full-s1"
    for i in range(24):
        target = artifacts / f"train/m{i}-s1/tokenlog"
        for path in sorted((source / "tokenlog").rglob("*.parquet")):
            if "step=" in path.as_posix():
                for copy in range(15):
                    name = path.relative_to(source / "tokenlog").as_posix().replace("run=full", f"run=m{i}")
                    to = target / name.replace("step=", f"step={copy}")
                    to.parent.mkdir(parents=True, exist_ok=True)
                    to.hardlink_to(path.resolve())
        files = {p.relative_to(target).as_posix(): {} for p in target.rglob("*.parquet")}
        (target / "manifest.json").write_text(json.dumps({"schema_version": 1, "files": files}))
    started = time.process_time()
    found = rebuild(DATABASE, artifacts, Wanted([f"m{i}" for i in range(24)], [1], [7]))
    assert time.process_time() - started < 2
    assert sum(len(paths) for f in found for paths in f.files.values()) > 24 * 15 * 4 * 4


def test_the_oldest_duckdb_that_the_docs_name_opens_it(artifacts, tmp_path):
    """The real one, of 2025; it is left out where there is no index to install it from."""
    rebuild(Path("tokens.duckdb"), artifacts, WANTED)
    old = tmp_path / "old"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(old), "duckdb==1.2.2"]
    if subprocess.run(install, capture_output=True, check=False).returncode:
        pytest.skip("duckdb 1.2.2 cannot be installed here")
    query = "SELECT count(*) FROM tokens UNION ALL SELECT count(*) FROM anchors(1, 0.2)"
    opened = "import duckdb; c = duckdb.connect('tokens.duckdb', read_only=True)"
    asked = f"{opened}; print(duckdb.__version__, c.sql({query!r}).fetchall())"
    environment = os.environ | {"PYTHONPATH": str(old)}
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    with duckdb.connect("tokens.duckdb", read_only=True) as connection:
        assert done.stdout.strip() == f"1.2.2 {connection.sql(query).fetchall()}"
