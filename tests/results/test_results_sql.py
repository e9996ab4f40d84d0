"""`spectrum sql`: what it answers, and everything that it must refuse."""

import argparse
import csv
import io
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tokenspectrum.cli import sql
from tokenspectrum.errors import UserError
from tokenspectrum.results.readonly import check_query

SECRET = "the secret line"


@pytest.fixture
def ask(artifacts, tmp_path, capsys):
    """Runs `spectrum sql ARGS...` in a project and returns what it printed."""
    Path("params.yaml").write_text(
        yaml.safe_dump({"preset": "small", "methods": ["full", "explorer20"], "seeds": [1, 2]})
    )
    (tmp_path / "outside.txt").write_text(SECRET + "\n")
    Path("outside.parquet").write_bytes(next((artifacts / "vocab").glob("*.parquet")).read_bytes())

    def run(*arguments: str) -> str:
        parser = argparse.ArgumentParser()
        sql.configure(parser.add_subparsers().add_parser("sql"))
        args = parser.parse_args(["sql", *arguments])
        args.func(args)
        return capsys.readouterr().out

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
        "SHOW TABLES",
        "SELECT * FROM anchors(3, 0.2) LIMIT 1",
        "SELECT quadrant, count(*) FROM quadrants(1) GROUP BY ALL",
        "PIVOT scores ON benchmark IN ('easy', 'hard') USING avg(correct::INT) GROUP BY run",
        "SELECT * FROM read_parquet('artifacts/small/vocab/*.parquet')",
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


def test_a_table_whose_stage_has_not_run_is_explained(ask, artifacts):
    shutil.rmtree(artifacts / "train")
    shutil.rmtree(artifacts / "metrics")
    assert "base" in ask("SELECT DISTINCT run FROM tokens")
    with pytest.raises(UserError, match=r"metrics.*8 folders are not made yet: SELECT \* FROM sources"):
        ask("SELECT * FROM metrics")


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
