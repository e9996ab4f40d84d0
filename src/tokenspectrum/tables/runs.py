"""runs: a row is a training run under one seed.  Run names hold no seed."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed"),
    [
        column("method", pa.string(), "name of the weighting method in params.yaml"),
        column("rule", pa.string(), "the resolved rule (rule.json) as JSON text"),
        column(
            "layer",
            pa.int32(),
            "0-based attention layer that the rule reads; null if none or several",
            nullable=True,
        ),
        column("tau", pa.float64(), "resolved temperature of a soft rule, null for others", nullable=True),
        column("preset", pa.string(), "preset the run belongs to"),
        column("trainer", pa.string(), "local or verl"),
        column("policy", pa.string(), "name of the base policy"),
    ],
)
