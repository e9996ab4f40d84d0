"""prompts: a row is a problem, in the Parquet schema that verl reads as it is."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("prompt_id",),
    [
        column("prompt_id", pa.string(), "16 hex digits: hash of source and problem text"),
        column("data_source", pa.string(), "where the problem comes from; the verifier reads it"),
        column(
            "prompt",
            pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
            "the chat that the policy sees",
        ),
        column("ability", pa.string(), "verl's task family, math"),
        column(
            "reward_model",
            pa.struct([("style", pa.string()), ("ground_truth", pa.string())]),
            "verl's reward spec: style rule and the gold answer",
        ),
        column(
            "extra_info",
            pa.struct([("split", pa.string()), ("index", pa.int64()), ("problem", pa.string()), ("meta", pa.string())]),
            "split, row in its source, bare problem text, and further facts as JSON text",
        ),
    ],
)
