"""The claims tables of README and docs/evidence.md, written from the kept CSV of the run that they tell of.

    python -m tokenspectrum.results.kept_claims

A page keeps its words: only its tables are written, each found by its first line.  Reads no run and judges nothing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenspectrum.results.claims.page import markdown, rules, stated_value, table
from tokenspectrum.results.claims.verdict import FAILS, HOLDS, NOT_RUN
from tokenspectrum.results.csvfile import read_plain

KEPT = Path("docs/evidence/claims.csv")
README, EVIDENCE = Path("README.md"), Path("docs/evidence.md")


def brief(rows: Sequence[Mapping[str, Any]]) -> str:
    """README's table: claim, verdict, and the value with its interval."""
    body = []
    for row in rows:
        shown, interval = stated_value(row)
        said = f"**{row['verdict']}**" if row["verdict"] in (HOLDS, FAILS) else row["verdict"]
        value = row["note"] if row["verdict"] == NOT_RUN else f"{shown} ({interval})" if interval else shown
        body.append([row["id"], row["claim"], said, value])
    return markdown(["", "claim", "verdict", "value (95 % interval)"], body)


def tables(rows: Sequence[Mapping[str, Any]]) -> dict[Path, list[str]]:
    """Page -> the tables that it must hold."""
    return {README: [brief(rows)], EVIDENCE: [table(rows), rules(rows)]}


def replaced(text: str, new: str) -> str:
    """The page with this table in the place of the one with the same first line; ValueError where there is none."""
    lines, first = text.split("\n"), new.split("\n")[0]
    start = lines.index(first)
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    return "\n".join([*lines[:start], new, *lines[end:]])


def pages() -> dict[Path, str]:
    """Both pages with their tables as the kept CSV has them."""
    texts = {}
    for path, of in tables(read_plain(KEPT)).items():
        texts[path] = path.read_text()
        for new in of:
            texts[path] = replaced(texts[path], new)
    return texts


def main() -> None:
    """Write both pages."""
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
