"""`snakedvc impact FILE`: the stages that a change of FILE would invalidate."""

import argparse
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table


def _counts(stages: list[Any]) -> str:
    return ", ".join(f"{name} ({n})" if n > 1 else name for name, n in Counter(s.name for s in stages).items())


def _run(args: argparse.Namespace) -> None:
    from snakedvc.code.impact import impact
    from snakedvc.dvcfiles.load import load_pipeline

    table = Table(box=None)
    for heading in ("file", "runs again", "below, if their inputs' bytes change"):
        table.add_column(heading, overflow="fold")
    for file in args.files:
        direct, below = impact(load_pipeline(), file)
        table.add_row(file, _counts(direct) or "nothing", _counts(below))
    Console().print(table)


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file, as a path from the project's root")
    parser.set_defaults(func=_run)
