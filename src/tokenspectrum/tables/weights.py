"""weights: a row is a token of the base policy under a rule."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "response_id", "position", "rule"),
    [
        column("response_id", pa.int32(), "index within the batch of the step"),
        column("position", pa.int32(), "0-based position in the response"),
        column("rule", pa.string(), "name of the method"),
        column("score", pa.float32(), "what the rule ranks or weighs by, null where it uses none", nullable=True),
        column("selected", pa.bool_(), "a hard rule kept it; true throughout for soft rules"),
        column("weight", pa.float32(), "multiplies the advantage"),
    ],
)
