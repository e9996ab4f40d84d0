"""`spectrum watch`: progress bars of the running stages, from their progress files and locks.  Knows no stage."""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from snakedvc.dvcfiles.locks import being_written

LOGS = Path("logs")
# If a file was not written for so long, its stage was killed.
STALE_AFTER_S = 600.0


def running(now: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Address and progress of each stage that is running, sorted."""
    for path in sorted(LOGS.glob("*/*/progress.json")):
        # The stage may end at this moment; a file that a crash of the machine left holds nothing.
        with suppress(FileNotFoundError, ValueError):
            state = json.loads(path.read_text())
            if now - state["updated"] < STALE_AFTER_S:
                yield path.parent.name, state


def remaining(state: dict[str, Any], now: float) -> str:
    """Time left at the pace so far, as m:ss; what an earlier run had done took this one no time."""
    made = state["done"] - state.get("begun", 0)
    if made <= 0:
        return ""
    seconds = (now - state["started"]) * (state["total"] - state["done"]) / made
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} to go"


def view(now: float) -> Group:
    """One row for each running stage."""
    table = Table.grid(padding=(0, 2))
    rows = list(running(now))
    counted = {addr for addr, _ in rows}
    uncounted = [addr for addr in being_written() if addr not in counted]
    for addr, state in rows:
        fields = "  ".join(f"{name} {value:.4g}" for name, value in state["fields"].items())
        bar = ProgressBar(total=state["total"], completed=state["done"], width=30)
        table.add_row(addr, bar, f"{state['done']}/{state['total']}", remaining(state, now), fields)
    for addr in uncounted:
        table.add_row(addr, "", "", "", "has counted nothing yet")
    return Group(table if rows or uncounted else Text("no stage is running"))


def _run(args: argparse.Namespace) -> None:
    if args.once:
        Console().print(view(time.time()))
        return
    with Live(view(time.time()), auto_refresh=False) as live:
        while True:
            time.sleep(0.5)
            live.update(view(time.time()), refresh=True)


def configure(parser: argparse.ArgumentParser) -> None:
    """The subcommand's arguments."""
    parser.add_argument("--once", action="store_true", help="print it once and exit")
    parser.set_defaults(func=_run)
