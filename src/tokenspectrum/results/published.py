"""The published figures that results cite, beside what is measured.  Reads no table."""

from typing import Any

from tokenspectrum.results.sql import query_text
from tokenspectrum.results.tables import Tables


def published(tables: Tables) -> dict[tuple[str, str], dict[str, Any]]:
    """The ANCHOR paper's figures by method and replicates (all, or survivors), percent; None where it gives none."""
    rows = tables.ask(query_text("queries/published.sql"), of=())
    figures: list[dict[str, Any]] = [
        {k: v if v is None or isinstance(v, str) else float(v) for k, v in row.items()} for row in rows
    ]
    return {(row.pop("method"), row.pop("replicates")): row for row in figures}
