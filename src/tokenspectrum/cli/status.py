"""`spectrum status`: each stage is cached, stale (and why) or missing."""

import argparse

from rich.console import Console
from rich.table import Table

COLOURS = {"cached": "green", "stale": "yellow", "missing": "red"}


def _run(args: argparse.Namespace) -> None:
    from snakedvc.dvcfiles.cache import Cache
    from snakedvc.dvcfiles.config import read_config
    from snakedvc.dvcfiles.pipeline import load_pipeline
    from snakedvc.dvcfiles.records import Records
    from snakedvc.planning.audit import Audit
    from snakedvc.planning.status import status

    pipeline, records, cache = load_pipeline(), Records(), Cache(read_config().cache_dir)
    rows = status(pipeline, Audit(pipeline, records, cache), records, cache)
    table = Table("stage", "state", "why", box=None)
    for row in rows:
        table.add_row(row.addr, f"[{COLOURS[row.state]}]{row.state}[/]", row.why)
    Console(soft_wrap=True).print(table)


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.set_defaults(func=_run)
