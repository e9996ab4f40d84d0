"""`gc`: show what the cache holds, by stage and age, and what can be deleted.  Deletes only with --force."""

import argparse
import math
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from snakedvc.errors import ProjectError

if TYPE_CHECKING:
    from snakedvc.planning.gc import Plan


def _day(used: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(used)) if used else "-"


def _show(found: "Plan") -> None:
    table = Table("stage", box=None)
    for name in ("runs", "bytes", "last used", "needed now", "can go"):
        table.add_column(name, justify="right")
    for row in found.rows:
        table.add_row(row.stage, str(row.runs), decimal(row.bytes), _day(row.used), str(row.needed), str(row.going))
    console = Console(soft_wrap=True)
    if found.rows:
        console.print(table)
    for left in found.leftovers:
        print(f"{left.path}: {left.why}, {decimal(left.bytes)}")


def _run(args: argparse.Namespace) -> None:
    from contextlib import nullcontext

    from snakedvc.dvcfiles.load import load_pipeline
    from snakedvc.dvcfiles.store import Store
    from snakedvc.planning.gc import delete, is_shared, nothing_runs, plan

    if not 0 <= args.keep_days < math.inf:
        raise ProjectError(f"--keep-days {args.keep_days:g}: must be 0 or more")
    pipeline = load_pipeline()
    store = Store(mend=False)
    with nothing_runs(pipeline) if args.force else nullcontext():
        found = plan(pipeline, store, args.keep_days, args.stage)
        _show(found)
        what = f"{len(found.records)} runs, {len(found.objects)} objects, {len(found.leftovers)} leftovers"
        if is_shared(store.cache):
            print(
                f"the cache {store.cache.root} is outside this checkout: another checkout may need what can go; "
                "what was used within a day stays"
            )
        if args.force:
            delete(found)
            print(f"deleted {what}: {decimal(found.bytes)}")
            return
    print(f"can go: {what}: {decimal(found.bytes)}")
    if args.keep_days and not (found.records or found.objects or found.leftovers):
        print(f"what was used within {args.keep_days:g} days stays; --keep-days 0 shows all that is not needed now")
    print("nothing was deleted; --force deletes it")


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument(
        "--keep-days", type=float, default=30.0, metavar="N", help="keep what was used in the last N days (30)"
    )
    parser.add_argument("--stage", metavar="NAME", help="only what this stage of dvc.yaml made")
    parser.add_argument("--force", action="store_true", help="delete it; without, nothing is deleted")
    parser.set_defaults(func=_run)
