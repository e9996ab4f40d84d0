"""`spectrum sql`: one question to the token database, answered as a table, CSV or Parquet.  Changes nothing."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenspectrum.errors import UserError

DATABASE = Path("results/tokens.duckdb")
SHOWN = 100


def read_query(args: argparse.Namespace) -> str:
    """The SQL text: the argument, the file of --file, or stdin for `-`."""
    if (args.query is None) == (args.file is None):
        raise UserError("sql: give one query: as an argument, by --file FILE, or - to read it from stdin")
    if args.file is not None:
        try:
            return args.file.read_text()
        except (OSError, UnicodeDecodeError) as e:
            raise UserError(f"{args.file}: cannot be read ({getattr(e, 'strerror', None) or e})") from None
    return sys.stdin.read() if args.query == "-" else args.query


def printable(text: str) -> str:
    """Text with its control characters escaped: decoded tokens hold newlines."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def show(answer, explain: bool) -> None:
    """Draw the first rows with rich; a plan is printed as it is."""
    from tokenspectrum.results.output import cell, names

    console = Console()
    rows = answer.fetchmany(SHOWN + 1)
    if explain:
        for row in rows:
            console.print(Text(row[-1]))
        return
    table = Table()
    for name in names(answer):
        table.add_column(Text(name), overflow="fold")
    for row in rows[:SHOWN]:
        table.add_row(*(Text(printable(cell(value))) for value in row))
    console.print(table)
    if len(rows) > SHOWN:
        print(f"first {SHOWN} rows; --format csv gives them all", file=sys.stderr)


def _run(args: argparse.Namespace) -> None:
    import duckdb

    from tokenspectrum.params.base import read_sections
    from tokenspectrum.params.values import Name, Names, Numbers
    from tokenspectrum.results import output
    from tokenspectrum.results.database import rebuild
    from tokenspectrum.results.readonly import check_query, open_locked
    from tokenspectrum.results.sql import one_line

    if args.format == "parquet" and args.out is None:
        raise UserError("sql: --format parquet needs --out FILE")
    if args.format == "table" and args.out is not None:
        raise UserError("sql: --format table draws on the terminal; add --format csv or parquet to --out")
    statement = check_query(read_query(args))
    preset, methods, seeds = read_sections(preset=Name, methods=Names, seeds=Numbers)
    artifacts = Path("artifacts")
    found = rebuild(DATABASE, artifacts / preset.root, methods.root, seeds.root)
    unread = [f for f in found if f.problem]
    for one in unread:
        if one.problem != "not made yet":
            print(f"not read: {one.place.folder}: {one.problem}", file=sys.stderr)
    with open_locked(DATABASE, [artifacts]) as connection:
        try:
            if args.format == "parquet":
                output.write_parquet_file(connection.sql(statement.query), args.out)
                return
            answer = connection.execute(statement.query)
            if args.format == "table":
                show(answer, statement.type == duckdb.StatementType.EXPLAIN)
            elif args.out is not None:
                output.write_csv_file(answer, args.out)
            else:
                output.write_csv(answer, sys.stdout)
        except duckdb.Error as e:
            missing = sum(one.problem == "not made yet" for one in unread)
            note = f" ({missing} folders are not made yet: SELECT * FROM sources)" if missing else ""
            raise UserError(f"SQL: {one_line(e)}{note if isinstance(e, duckdb.CatalogException) else ''}") from None


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("query", nargs="?", help="SQL text, or - to read it from stdin")
    parser.add_argument("--file", type=Path, help="read the SQL from this file")
    parser.add_argument("--format", choices=("table", "csv", "parquet"), default="table")
    parser.add_argument("--out", type=Path, help="write to this file instead of stdout")
    parser.set_defaults(func=_run)
