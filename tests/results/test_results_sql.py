"""`spectrum sql`: what it answers, and everything that it must refuse."""

import argparse
import csv
import io
import json
import os
import re
import shutil
import stat
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from results_fixtures import PARAMS, save_params

from tokenspectrum.cli import sql
from tokenspectrum.cli.answer import BORDER, fit
from tokenspectrum.errors import UserError
from tokenspectrum.results.readonly import check_query

SECRET = "the secret line"


@pytest.fixture
def ask(artifacts, tmp_path, capsys):
    """Runs `spectrum sql ARGS...` in a project and returns what it printed."""
    names = ("preset", "methods", "bases", "replicates", "extra_runs", "run_gradients")
    save_params({name: PARAMS[name] for name in names})
    (tmp_path / "outside.txt").write_text(SECRET + "\n")
    Path("outside.parquet").write_bytes(next((artifacts / "vocab/7").glob("*.parquet")).read_bytes())

    def run(*arguments: str) -> str:
        parser = argparse.ArgumentParser()
        sql.configure(parser.add_subparsers().add_parser("sql"))
        args = parser.parse_args(["sql", *arguments])
        args.func(args)
        run.out, run.err = capsys.readouterr()
        return run.out

    return run


def snapshot() -> dict[Path, bytes]:
    """Every file below the project except the database, which is rebuilt."""
    return {p: p.read_bytes() for p in Path(".").rglob("*") if p.is_file() and p.name != "tokens.duckdb"}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) AS n FROM tokens",
        "FROM vocab",
        "VALUES (1)",
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a UNION ALL SELECT 2;",
        "WITH RECURSIVE a AS (SELECT 1 i UNION ALL SELECT i + 1 FROM a WHERE i < 3) SELECT * FROM a",
        "DESCRIBE tokens",
        "DESCRIBE SELECT run FROM tokens",
        "SUMMARIZE vocab",
        "EXPLAIN SELECT * FROM tokens",
        "/* why */ explain -- so\n analyze SELECT 1",
        "EXPLAIN (SELECT 1)",
        "EXPLAIN (FORMAT JSON) SELECT 1",
        "explain (analyze, format json) FROM vocab",
        "EXPLAIN ANALYZE (SELECT 1)",
        "SHOW TABLES",
        "SELECT * FROM anchors(3, 0.2) LIMIT 1",
        "SELECT quadrant, count(*) FROM quadrants(1) GROUP BY ALL",
        "PIVOT scores ON benchmark IN ('easy', 'hard') USING avg(correct::INT) GROUP BY run",
        "SELECT * FROM read_parquet('artifacts/small/vocab/7/*.parquet')",
        "SELECT 'COPY x TO y; DROP TABLE t' AS text",
        "SELECT unnest([1, 2])",
    ],
)
def test_queries_that_only_look_are_answered(ask, query):
    assert ask(query, "--format", "csv").count("\n") >= 1


REFUSED = [
    "COPY vocab TO 'artifacts/stolen.csv'",
    "COPY (SELECT 1) TO 'stolen.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'artifacts/stolen.csv'",
    "EXPLAIN COPY (SELECT 1) TO 'artifacts/stolen.csv'",
    "EXPLAIN (FORMAT JSON) COPY (SELECT 1) TO 'artifacts/stolen.csv'",
    "EXPLAIN (ANALYZE, FORMAT JSON) COPY (SELECT 1) TO 'artifacts/stolen.csv'",
    "EXPLAIN (FORMAT JSON) WITH a AS (COPY (SELECT 1) TO 'artifacts/stolen.csv') SELECT 1",
    "WITH a AS (COPY (SELECT 1) TO 'artifacts/stolen.csv') SELECT 1",
    "EXPLAIN ANALYZE WITH a AS (COPY (SELECT 1) TO 'artifacts/stolen.csv') SELECT 1",
    "SELECT * FROM (WITH a AS (COPY (SELECT 1) TO 'artifacts/stolen.csv') SELECT 1)",
    "FROM query('WITH a AS (COPY (SELECT 1) TO ''artifacts/stolen.csv'') SELECT 1')",
    "FROM json_execute_serialized_sql('{}')",
    "WITH a AS (INSERT INTO sources VALUES ('x', [], 'y', 1) RETURNING folder) SELECT * FROM a",
    "EXPORT DATABASE 'artifacts/stolen'",
    "ATTACH 'outside.duckdb' AS o",
    "ATTACH ':memory:' AS o",
    "DETACH tokens",
    "USE memory",
    "INSERT INTO sources VALUES ('x', [], 'y', 1)",
    "UPDATE sources SET files = 0",
    "DELETE FROM sources",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1",
    "CREATE MACRO m() AS 1",
    "DROP VIEW tokens",
    "ALTER TABLE sources ADD COLUMN x INT",
    "SET threads = 1",
    "RESET threads",
    "SET enable_external_access = true",
    "EXPLAIN ANALYZE SET threads = 1",
    "PRAGMA version",
    "PRAGMA enable_profiling",
    "CALL pragma_version()",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "FROM enable_logging(storage = 'file', storage_config = {'path': 'artifacts/log'})",
    "FROM checkpoint()",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY vocab TO 'artifacts/stolen.csv'",
    "",
    "-- nothing",
    "SELEC 1",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_text('outside.txt')",
    "SELECT * FROM read_text('artifacts/../outside.txt')",
    "SELECT * FROM read_blob('artifacts/small/../../outside.txt')",
    "SELECT * FROM read_csv('outside.txt')",
    "SELECT * FROM read_csv(['artifacts/../outside.txt'])",
    "SELECT * FROM read_json('outside.txt')",
    "SELECT * FROM 'outside.parquet'",
    "SELECT * FROM read_parquet('outside.parquet')",
    "SELECT * FROM parquet_metadata('outside.parquet')",
    "SELECT * FROM query_table('outside.parquet')",
    "SELECT * FROM glob('*')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('outside.txt')",
    "DESCRIBE 'outside.parquet'",
    "SUMMARIZE FROM read_csv('outside.txt')",
    "SELECT (SELECT content FROM read_text('outside.txt'))",
    "SELECT * FROM read_csv('https://example.org/x.csv')",
    "SELECT getenv('HOME')",
    "SELECT * FROM local_variable",
]


@pytest.mark.parametrize("query", REFUSED)
def test_everything_else_is_refused_in_one_line_and_changes_nothing(ask, query):
    local_variable = pa.table({"x": [1]})
    before = snapshot()
    with pytest.raises(UserError) as e:
        ask(query, "--format", "csv")
    assert len(local_variable) == 1
    assert "\n" not in str(e.value)
    assert str(e.value).startswith("SQL: ")
    assert SECRET not in str(e.value)
    assert snapshot() == before


def test_the_parser_alone_refuses_what_writes():
    # The first wall must hold by itself: the second lets COPY write into the artifacts folder.
    for query in REFUSED[: REFUSED.index("")]:
        with pytest.raises(
            UserError,
            match=r"only one SELECT, DESCRIBE, EXPLAIN or SUMMARIZE is taken|syntax error|A CTE needs a SELECT",
        ):
            check_query(query)


def test_a_mistake_in_sql_is_one_line_with_duckdbs_hint(ask):
    with pytest.raises(UserError, match=r"^SQL: Binder Error: .*positon.* not found.*Candidate bindings: .*position"):
        ask("SELECT positon FROM tokens")


def test_a_table_whose_stage_has_not_run_is_empty_and_explained(ask, artifacts):
    shutil.rmtree(artifacts / "train")
    shutil.rmtree(artifacts / "metrics")
    shutil.rmtree(artifacts / "attention")
    for folder in ("gradients", "run_gradients"):
        shutil.rmtree(artifacts / folder)
    assert "base" in ask("SELECT DISTINCT run FROM tokens")
    for query, said in (
        ("SELECT * FROM metrics", "metrics: no rows yet; the stage train will fill it"),
        ("EXPLAIN (FORMAT JSON) FROM runs", "runs: no rows yet; the stage train will fill it"),
        ("FROM gradients", "gradients: no rows yet; the stage"),
        ("FROM anchors(1, 0.2)", "attention: no rows yet; the stages tokens and train will fill it"),
        ("FROM nonesuch", None),
    ):
        if said is None:
            with pytest.raises(UserError, match="nonesuch does not exist"):
                ask(query)
            continue
        ask(query, "--format", "csv")
        assert said in ask.err


def test_formats_agree(ask, tmp_path):
    query = "SELECT response_id, text, correct, answer FROM responses WHERE run = 'base' ORDER BY 1"
    rows = list(csv.reader(io.StringIO(ask(query, "--format", "csv"))))
    assert rows[0] == ["response_id", "text", "correct", "answer"]
    assert rows[1] == ["0", "so \\boxed{1}", "false", ""]
    ask(query, "--format", "csv", "--out", "rows.csv")
    assert list(csv.reader(Path("rows.csv").read_text().splitlines())) == rows
    ask(query, "--format", "parquet", "--out", "rows.parquet")
    table = pq.read_table("rows.parquet")
    assert table.num_rows == len(rows) - 1
    assert table.column("text").to_pylist()[0] == rows[1][1]
    ask("EXPLAIN " + query, "--format", "parquet", "--out", "plan.parquet")
    assert pq.read_table("plan.parquet").num_rows >= 1
    drawn = ask(query)
    assert "response_id" in drawn
    assert "so \\boxed{1}" in drawn


def test_control_characters_are_escaped_on_the_terminal(ask):
    assert "│ a\\n×\\x1b[31m │" in ask("SELECT 'a' || chr(10) || '×' || chr(27) || '[31m' AS text")


def test_lists_are_json_in_csv(ask):
    assert ask("SELECT [1, NULL] AS a, {'x': 'y'} AS b", "--format", "csv") == 'a,b\n"[1, null]","{""x"": ""y""}"\n'


def test_a_long_answer_is_cut_on_the_terminal_only(ask, capsys):
    assert ask("SELECT range AS i FROM range(250)").count("│") == 2 * 100
    assert ask("SELECT range AS i FROM range(250)", "--format", "csv").count("\n") == 251


def test_queries_come_from_a_file_or_stdin(ask, monkeypatch):
    Path("q.sql").write_text("SELECT 41 + 1 AS x")
    assert ask("--file", "q.sql", "--format", "csv") == "x\n42\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 43 AS x"))
    assert ask("-", "--format", "csv") == "x\n43\n"
    for wrong in ((), ("SELECT 1", "--file", "q.sql")):
        with pytest.raises(UserError, match="one query"):
            ask(*wrong)
    with pytest.raises(UserError, match=r"none\.sql: cannot be read"):
        ask("--file", "none.sql")


def test_options_that_do_not_fit_are_refused(ask):
    with pytest.raises(UserError, match="needs --out"):
        ask("SELECT 1", "--format", "parquet")
    with pytest.raises(UserError, match="add --format"):
        ask("SELECT 1", "--out", "x")


def test_an_error_half_way_leaves_no_file(ask):
    query = "SELECT CASE WHEN range < 50000 THEN 1 ELSE error('half way') END AS x FROM range(60000)"
    with pytest.raises(UserError, match="half way"):
        ask(query, "--format", "csv", "--out", "half.csv")
    assert not Path("half.csv").exists()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT count(*) FROM anchors(99, 0.2)", "layer 99: the policy has layers 0 to 3"),
        ("SELECT count(*) FROM explorers(-1, 0.2)", "layer -1: the policy has layers 0 to 3"),
        ("SELECT count(*) FROM anchors(1, 20)", "p is a fraction above 0 and at most 1, not 20"),
        ("SELECT count(*) FROM partitions(1, NULL)", "p is a fraction above 0 and at most 1, not NULL"),
        ("SELECT count(*) FROM quadrants(1, cut := -0.5)", "cut is a quantile above 0 and below 1, not -0.5"),
        ("SELECT count(*) FROM quadrants(9)", "layer 9: the policy has layers 0 to 3"),
    ],
)
def test_a_macro_says_what_is_valid(ask, artifacts, query, said):
    (artifacts / "policy/8").mkdir(parents=True)  # of any base policy: all have as many layers
    (artifacts / "policy/8/config.json").write_text('{"num_hidden_layers": 4}')
    with pytest.raises(UserError, match=re.escape(said)):
        ask(query, "--format", "csv")


def test_the_formats_for_readers_round_and_the_others_do_not(ask):
    query = "SELECT 0.123456789::DOUBLE AS x, 12345678.9::DOUBLE AS y, 'a|b\n' AS t, [1e-7, 2.0] AS l, NULL AS n"
    assert ask(query, "--format", "line") == ("x = 0.1235\ny = 12350000\nt = a|b\\n\nl = [1e-07, 2.0]\nn = \n")
    assert ask(query, "--format", "markdown").splitlines() == [
        "| x | y | t | l | n |", "|---|---|---|---|---|", "| 0.1235 | 12350000 | a\\|b\\n | [1e-07, 2.0] |  |"
    ]  # fmt: skip
    (row,) = json.loads(ask(query, "--format", "json"))
    assert row == {"x": 0.123456789, "y": 12345678.9, "t": "a|b\n", "l": [1e-7, 2.0], "n": None}
    assert json.loads(ask("SELECT 'nan'::DOUBLE AS x, MAP {1: DATE '2026-01-01'} AS m", "--format", "json")) == [
        {"x": None, "m": {"1": "2026-01-01"}}
    ]
    assert json.loads(ask("SELECT 1 AS x WHERE false", "--format", "json")) == []


def test_a_pipe_gets_every_column_whole(ask):
    names = ", ".join(f"'{'x' * 50}' AS column_{i}" for i in range(30))
    drawn = ask(f"SELECT {names}")
    assert all(f"column_{i}" in drawn for i in range(30))
    assert drawn.count("x" * 50) == 30
    assert drawn.count("\n") == 5


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(20, 200))
def test_columns_that_do_not_fit_are_left_out_in_the_middle(widths, room):
    shown = fit(widths, room)
    assert shown == sorted(set(shown))
    assert 0 in shown
    if len(shown) < len(widths):
        assert sum(widths[i] + BORDER for i in shown) + BORDER + 2 <= room or shown == [0]
    elif len(widths) > 1:
        assert sum(widths) + BORDER * len(widths) + 1 <= room


def test_an_interval_is_no_parquet_and_one_line(ask):
    with pytest.raises(UserError, match=r"--format parquet: .*interval.*cast that column") as e:
        ask("SELECT INTERVAL 1 DAY AS d", "--format", "parquet", "--out", "x.parquet")
    assert "\n" not in str(e.value)
    assert not Path("x.parquet").exists()


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_out_replaces_neither_folder_nor_device(ask, kind):
    Path("folder").mkdir()
    os.mkfifo("pipe")
    for target in ("folder", "pipe"):  # never a device of the machine: where this fails, it is replaced
        with pytest.raises(UserError, match=f"--out {target}"):
            ask("SELECT 1", "--format", kind, "--out", target)
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)


def test_a_place_that_cannot_be_written_gets_its_database_elsewhere(ask):
    Path("results").write_text("no folder")
    assert ask("SELECT count(*) > 0 AS x FROM tokens", "--format", "csv") == "x\ntrue\n"
    assert Path("results").read_text() == "no folder"


def test_a_folder_that_is_write_protected_gets_its_database_elsewhere(ask, monkeypatch):
    ask("SELECT 1")
    before = Path("results/tokens.duckdb").read_bytes()
    connect = duckdb.connect

    def refused(path=":memory:", *args, **options):
        """As for a user who may not write there; the tests may be root's, who always may."""
        if Path(path).parent == Path("results"):
            raise duckdb.IOException(f'Cannot open file "{path}": Permission denied')
        return connect(path, *args, **options)

    monkeypatch.setattr("tokenspectrum.results.database.duckdb.connect", refused)
    monkeypatch.setattr("tokenspectrum.results.database.os.access", lambda path, mode: Path(path) != Path("results"))
    assert ask("SELECT count(*) > 0 AS x FROM tokens", "--format", "csv") == "x\ntrue\n"
    assert Path("results/tokens.duckdb").read_bytes() == before


def test_a_query_that_is_not_utf8_is_one_line(ask, monkeypatch):
    Path("q.sql").write_bytes("SELECT 'é'".encode("latin-1"))
    with pytest.raises(UserError, match=r"q\.sql: cannot be read \(not UTF-8: byte 0xe9\)"):
        ask("--file", "q.sql")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("SELECT 'é'".encode("latin-1"))))
    with pytest.raises(UserError, match=r"stdin: cannot be read \(not UTF-8"):
        ask("-")
