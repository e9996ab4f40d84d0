"""`status`: show what would happen to each stage.  Exit 0 if all results are valid, 2 if a stage has to run."""

import argparse
import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

if TYPE_CHECKING:
    from snakedvc.dvcfiles.pipeline import Pipeline
    from snakedvc.planning.status import StageStatus

COLOURS = {"in place": "green", "cached": "green", "stale": "yellow", "missing": "red"}


def _counts(rows: "list[StageStatus]") -> str:
    """`20 in place, 4 stale`."""
    count: Counter[str] = Counter(row.state for row in rows)
    return ", ".join(f"{count[state]} [{colour}]{state}[/]" for state, colour in COLOURS.items() if count[state])


def _table(rows: "list[StageStatus]", details: bool) -> Table:
    """One line for each template of dvc.yaml; with `details`, one for each stage with all its reasons."""
    table = Table("stage", "state", "why", box=None)
    groups: dict[str, list[StageStatus]] = {}
    for row in rows:
        groups.setdefault(row.addr if details else row.name, []).append(row)
    for name, group in groups.items():
        reasons = list(dict.fromkeys(why for row in group for why in row.why))
        more = f" (and {len(reasons) - 1} more: status {name})" if len(reasons) > 1 and not details else ""
        why = "; ".join(reasons if details else reasons[:1]).replace("[", r"\[")
        table.add_row(
            name, _counts(group) if len(group) > 1 else f"[{COLOURS[group[0].state]}]{group[0].state}[/]", why + more
        )
    return table


def _disk(pipeline: "Pipeline") -> str:
    """What the outputs and the cache take, and what is left on their disks."""
    from snakedvc.dvcfiles.config import read_config
    from snakedvc.planning.leftovers import size

    tops = sorted({Path(out).parts[0] for stage in pipeline.stages.values() for out in stage.outs})
    cache = read_config().cache_dir
    there = next(path for path in (cache, *cache.absolute().parents) if path.exists())
    taken = [f"{top} {decimal(size(Path(top)))}" for top in tops]
    return f"disk: {', '.join(taken)}, cache {decimal(size(cache))}; {decimal(shutil.disk_usage(there).free)} free"


def _run(args: argparse.Namespace) -> None:
    from snakedvc.dvcfiles.load import load_pipeline
    from snakedvc.dvcfiles.store import Store
    from snakedvc.planning.devices import mixtures
    from snakedvc.planning.status import STANDS, status

    pipeline = load_pipeline()
    asked = {s.addr for name in args.stages for s in pipeline.matching(name)} or set(pipeline.stages)
    every = status(pipeline, Store(mend=False))
    rows = [row for row in every if row.addr in asked]
    shown = [row for row in rows if not args.state or row.state in args.state]
    if args.json:
        print(
            json.dumps([{"stage": r.addr, "state": r.state, "why": r.why, "device": r.device} for r in shown], indent=1)
        )
    else:
        console = Console(soft_wrap=True)
        if shown:
            console.print(_table(shown, details=bool(args.stages)))
        for line in mixtures(pipeline, {row.addr: row.device for row in every}):
            console.print(f"[yellow]{line}[/]")
        if not args.stages:
            console.print(_disk(pipeline))
        console.print(f"{len(rows)} stages: {_counts(rows)}")
    if any(row.state not in STANDS for row in rows):
        sys.exit(2)


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("stages", nargs="*", help="stages or addresses: a line for each, with all reasons")
    parser.add_argument("--state", action="append", choices=list(COLOURS), help="only those in this state; repeatable")
    parser.add_argument("--json", action="store_true", help="all of it as JSON")
    parser.set_defaults(func=_run)
