"""The numbers that a token has, by name: `tokens.logprob`, `attention.entropy_norm.1`, `weights.score.anchor20`.

Read off the tables' schemas: a column that joins a table is shown without a change here.  Knows no files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from tokenspectrum.errors import UserError
from tokenspectrum.tables.registry import TABLES

# Tables with a row a token, and the key that tells several rows of one token apart.
PARTS: dict[str, str | None] = {"tokens": None, "attention": "layer", "weights": "rule", "token_gradients": None}
# Values with a middle of their own: their colours run both ways from it.
CENTRES = {"advantage": 0.0, "loss": 0.0, "ratio": 1.0, "dot": 0.0}
_KEYS = frozenset({"response_id", "position", "token_id", "layer", "rule"})


@dataclass(frozen=True)
class Column:
    """A number of each token: a field of a table, at one layer or under one rule where the table has several."""

    table: str
    field: str
    part: str | None
    description: str
    nullable: bool

    @property
    def id(self) -> str:
        return ".".join(filter(None, (self.table, self.field, self.part)))

    @property
    def centre(self) -> float | None:
        return CENTRES.get(self.field)


def fields(table: str) -> list[pa.Field]:
    """The numeric fields of a token table that are no key."""
    return [f for f in TABLES[table] if f.name not in _KEYS and _is_number(f.type)]


def columns(parts: Mapping[str, Iterable[str | None]], empty: Iterable[str] = ()) -> list[Column]:
    """Every column, for the parts (layers, rules) that each table has; `empty` holds ids to leave out."""
    every = [
        Column(table, f.name, part, (f.metadata or {}).get(b"description", b"").decode(), f.nullable)
        for table in PARTS
        for part in parts.get(table, ())
        for f in fields(table)
    ]
    return [column for column in every if column.id not in set(empty)]


def find_column(known: Iterable[Column], name: str) -> Column:
    """The column of that id, or a UserError."""
    for column in known:
        if column.id == name:
            return column
    raise UserError(f"column {name!r}: not logged here")


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
