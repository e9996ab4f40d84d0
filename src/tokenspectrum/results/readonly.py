"""SQL that can only look: one SELECT, DESCRIBE, EXPLAIN or SUMMARIZE, on a connection that reaches nothing else.

Two walls.  The statement is parsed by DuckDB itself and its tree is checked: a common table expression may hold COPY or
INSERT, and functions such as `query` run text of their own.  The connection is read-only, sees the given folders alone
(where it could still write, hence the first wall), and its configuration is locked.  Knows no table.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from tokenspectrum.errors import UserError
from tokenspectrum.results.sql import one_line

QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
# Table functions that read: ranges, files (within the allowed folders), the catalog, and this database's macros.
_READERS = """
range generate_series unnest repeat glob read_parquet parquet_scan parquet_schema parquet_metadata parquet_file_metadata
read_csv read_json read_text read_blob json_each json_tree query_table summary histogram
duckdb_columns duckdb_tables duckdb_views duckdb_functions duckdb_settings
anchors explorers partitions quadrants
"""
READERS = frozenset(_READERS.split())
MACRO_TABLES = {
    "anchors": {"attention"},
    "explorers": {"attention"},
    "partitions": {"attention"},
    "quadrants": {"attention", "tokens"},
}
ALLOWED = "only one SELECT, DESCRIBE, EXPLAIN or SUMMARIZE is taken"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


_OPTIONS = re.compile(r"\(\s*(?:analyze|verbose|format|codegen|costs|buffers|timing)\b[^()]*\)\s*", re.IGNORECASE)


def _explained(query: str) -> str:
    """What follows EXPLAIN, its ANALYZE and its options in brackets."""
    words = [
        (start, kind) for start, kind in duckdb.tokenize(query) if kind != getattr(duckdb.token_type, "comment", 0)
    ]
    if len(words) < 2:
        return ""
    is_analyze = re.match(r"analyze\b", query[words[1][0] :], re.IGNORECASE)
    body = query[words[2 if is_analyze and len(words) > 2 else 1][0] :]
    options = _OPTIONS.match(body)
    return body[options.end() :] if options else body


def _tree(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    """The query as DuckDB's parser sees it."""
    row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchone()
    assert row is not None, "a SELECT of one value has a row"
    return json.loads(row[0])


def tables_of(query: str) -> set[str]:
    """Names of the tables and views that a query reads, as they are written; also those that macros of ours read."""
    with duckdb.connect() as scratch:
        (statement,) = scratch.extract_statements(query)
        body = _explained(query) if statement.type == duckdb.StatementType.EXPLAIN else query
        tree = _tree(scratch, body)
    named = {node["table_name"].lower() for node in _nodes(tree) if node.get("type") == "BASE_TABLE"}
    functions = {
        node["function"]["function_name"].lower() for node in _nodes(tree) if node.get("type") == "TABLE_FUNCTION"
    }
    for macro, tables in MACRO_TABLES.items():
        if macro in functions:
            named |= tables
    return named


def _word(statement: duckdb.Statement) -> str:
    """What kind of statement it is, in the user's own word where DuckDB's says nothing."""
    if statement.type.name != "MULTI":
        return statement.type.name
    # DuckDB runs a PIVOT that does not name its values as several statements, one of which creates a type.
    pivots = re.search(r"\bpivot\b", statement.query, re.IGNORECASE)
    return "PIVOT without its values (name them: ON column IN (...))" if pivots else "several statements in one"


def check_query(sql: str) -> duckdb.Statement:
    """The one statement in `sql` (.query, .type), or a UserError if it is not one that only looks."""
    with duckdb.connect() as scratch:
        try:
            statements = scratch.extract_statements(sql)
        except duckdb.Error as e:
            raise UserError(f"SQL: {one_line(e)}") from None
        if len(statements) != 1:
            raise UserError(f"SQL: {len(statements)} statements; {ALLOWED}")
        statement = statements[0]
        if statement.type not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
            raise UserError(f"SQL: {_word(statement)} is refused; {ALLOWED}")
        is_explain = statement.type == duckdb.StatementType.EXPLAIN
        body = _explained(statement.query) if is_explain else statement.query
        # DuckDB serialises queries alone: anything else comes back as an error.
        tree = _tree(scratch, body)
    if tree["error"]:
        raise UserError(f"SQL: {tree['error_message']}; {ALLOWED}")
    for node in _nodes(tree):
        kind = node.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in QUERY_NODES:
            raise UserError(f"SQL: {kind.removesuffix('_QUERY_NODE')} inside a query is refused; {ALLOWED}")
        if kind == "TABLE_FUNCTION" and (name := node["function"]["function_name"].lower()) not in READERS:
            raise UserError(f"SQL: table function {name} is refused; {ALLOWED}")
    return statement


def open_locked(path: Path, folders: Sequence[Path]) -> duckdb.DuckDBPyConnection:
    """A read-only connection to `path` that can read files under `folders` and nothing else, for good."""
    connection = duckdb.connect(path, read_only=True)
    # DuckDB 1.x compares paths as they are written, 2.x resolves them.
    allowed = [form for folder in folders for form in (folder.as_posix(), folder.resolve().as_posix())]
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET allowed_directories = $1", [allowed])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection
