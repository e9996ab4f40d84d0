"""vocab: a row is a token of a policy."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("policy", "token_id"),
    [
        column("policy", pa.string(), "name of the policy"),
        column("token_id", pa.int32(), "index in the vocabulary"),
        column("text", pa.string(), "the decoded token"),
        column("type", pa.string(), "special, digit, operator, punctuation, whitespace or word"),
    ],
)
