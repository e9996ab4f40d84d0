"""`spectrum sql`: one question to the token database, answered in the format that is asked for.  Changes nothing."""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tokenspectrum.errors import UserError

DATABASE = Path("results/tokens.duckdb")
SHOWN = 100
FORMATS = ("table", "line", "csv", "json", "markdown", "parquet")


def read_query(args: argparse.Namespace) -> str:
    """The SQL text: the argument, the file of --file, or stdin for `-`."""
    if (args.query is None) == (args.file is None):
        raise UserError("sql: give one query: as an argument, by --file FILE, or - to read it from stdin")
    where = args.file or ("stdin" if args.query == "-" else "sql")
    try:
        if args.file is not None:
            content = args.file.read_bytes()
        elif args.query == "-":
            content = getattr(sys.stdin, "buffer", sys.stdin).read()
        else:  # bytes that the locale cannot read stand in the argument as surrogates
            content = args.query.encode("utf-8", "surrogateescape")
        return content.decode("utf-8-sig") if isinstance(content, bytes) else content
    except (OSError, AttributeError) as e:
        raise UserError(f"{where}: cannot be read ({getattr(e, 'strerror', None) or 'it is closed'})") from None
    except UnicodeDecodeError as e:
        raise UserError(f"{where}: cannot be read (not UTF-8: byte 0x{e.object[e.start]:02x})") from None


def rebuilt(stack: ExitStack, artifacts: Path) -> tuple[Path, list[Any]]:
    """The database and what became of its sources; in a temporary folder where results/ cannot be written."""
    from tokenspectrum.params.base import read_sections
    from tokenspectrum.params.replicates import ExtraRuns, Replicates
    from tokenspectrum.params.values import Name, Names, Numbers
    from tokenspectrum.results.database import rebuild
    from tokenspectrum.results.sources import Wanted

    preset, methods, bases, replicates, extra, probed = read_sections(
        preset=Name,
        methods=Names,
        bases=Numbers,
        replicates=Replicates,
        extra_runs=ExtraRuns,
        **{"run_gradients.methods": Names},
    )
    seeds = [replicate.seed for replicate in replicates.root]
    wanted = Wanted(methods.root, seeds, bases.root, extra.root, probed.root)
    arguments = (artifacts / preset.root, wanted)
    try:
        return DATABASE, rebuild(DATABASE, *arguments)
    except OSError:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="spectrum-sql-"))
        path = Path(folder, DATABASE.name)
        return path, rebuild(path, *arguments)


def _notes(found: list[Any], query: str) -> None:
    """On stderr: what was not read, and which of the tables asked for have no rows yet."""
    from tokenspectrum.results.database import without_rows
    from tokenspectrum.results.readonly import tables_of

    for one in found:
        if one.problem and one.problem != "not made yet":
            print(f"not read: {one.place.folder}: {one.problem}", file=sys.stderr)
    empty = without_rows(found)
    for table in sorted(tables_of(query) & empty.keys()):
        stages = " and ".join(empty[table])
        by = f"the stage{'s' * (len(empty[table]) > 1)} {stages} will fill it" if stages else "no stage fills it"
        print(f"{table}: no rows yet; {by} (SELECT * FROM sources)", file=sys.stderr)


def _run(args: argparse.Namespace) -> None:
    import duckdb

    from tokenspectrum.results import output
    from tokenspectrum.results.readonly import check_query, open_locked
    from tokenspectrum.results.sql import one_line

    if args.format == "parquet" and args.out is None:
        raise UserError("sql: --format parquet needs --out FILE")
    if args.format == "table" and args.out is not None:
        raise UserError("sql: --format table draws on the terminal; add --format csv or parquet to --out")
    if args.out is not None:
        output.check_target(args.out)
    statement = check_query(read_query(args))
    artifacts = Path("artifacts")
    with ExitStack() as stack:
        database, found = rebuilt(stack, artifacts)
        _notes(found, statement.query)
        connection = stack.enter_context(open_locked(database, [artifacts]))
        try:
            if args.format == "parquet":
                output.write_parquet_file(connection.sql(statement.query), args.out)
                return
            answer = connection.execute(statement.query)
            if args.format == "table":
                from tokenspectrum.cli.answer import show

                show(answer, statement.type == duckdb.StatementType.EXPLAIN, SHOWN)
            elif args.out is not None:
                output.write_text_file(answer, args.out, args.format)
            else:
                reconfigure = getattr(sys.stdout, "reconfigure", None)
                if reconfigure is not None:  # data is UTF-8, whatever the locale says
                    reconfigure(encoding="utf-8")
                output.TEXT[args.format](answer, sys.stdout)
        except duckdb.Error as e:
            raise UserError(f"SQL: {one_line(e)}") from None


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("query", nargs="?", help="SQL text, or - to read it from stdin")
    parser.add_argument("--file", type=Path, help="read the SQL from this file")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="table, line and markdown round numbers; csv, json and parquet hold all digits and all rows",
    )
    parser.add_argument("--out", type=Path, help="write to this file instead of stdout")
    parser.set_defaults(func=_run)
