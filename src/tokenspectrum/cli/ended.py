"""What a run says at its end: the main table, where the results lie, and what to look at next.  Computes nothing."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

TABLE = Path("results/table1.csv")
WIDTH = 200  # characters, where nobody's terminal says


def main_table(rows: Sequence[dict[str, str]]) -> Table:
    """Accuracies, and what is compared with the reference: the page has the tests."""
    first = rows[0]
    names = list(first)
    benchmarks = names[names.index("replicates") + 1 : names.index("Avg")]
    title = escape("preset {preset}, policy {policy}: mean accuracy, percent".format(**first))
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("")
    for heading in (*benchmarks, "Avg", "std", "n", "difference", "bases above"):
        table.add_column(escape(heading), justify="right")
    for row in rows:
        above = f"{row['bases_above']} of {row['bases']}" if row["bases_above"] else ""
        cells = [_two(row[name]) for name in (*benchmarks, "Avg", "std")]
        table.add_row(escape(row["row"]), *cells, row["n"], _two(row["difference"], "+.1f"), above)
    return table


def _two(text: str, form: str = ".1f") -> str:
    return f"{float(text):{form}}" if text else ""


def say_what_was_made(asked: Sequence[str]) -> None:
    """Show the table, if it was asked for, and name the results among the files that were."""
    made = [path for path in asked if path.startswith("results/") and Path(path).is_file()]
    if not made:
        return
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDTH, highlight=False, emoji=False)
    if str(TABLE) in made:
        with TABLE.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        console.print(main_table(rows))
        console.print("difference: Avg less that of the method named `against` in the CSV, points")
    console.print(escape(f"made: {', '.join(made)}"), soft_wrap=True)
    page = TABLE.with_suffix(".md")
    read = f"{page} has the tests and what was found; " if str(TABLE) in made else ""
    console.print(
        f"next: {read}`spectrum view` shows the tokens, `spectrum explain RUN` a rule, `spectrum check` whether the "
        "files agree; docs/results.md lists every result",
        soft_wrap=True,
    )
