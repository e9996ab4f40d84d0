"""scores: a row is an evaluation sample."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "benchmark", "prompt_id", "sample"),
    [
        column("benchmark", pa.string(), "name of the benchmark"),
        column("prompt_id", pa.string(), "hash of source and problem text"),
        column("sample", pa.int32(), "which of the samples of its problem"),
        column("answer", pa.string(), "the last boxed answer, null without a box", nullable=True),
        column("correct", pa.bool_(), "by the strict verifier"),
        column("correct_alt", pa.bool_(), "by math-verify"),
        column("n_tokens", pa.int32(), "response tokens, end-of-sequence included if emitted"),
    ],
)
