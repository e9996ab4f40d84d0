"""vocab: a row is a token of a policy."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

# Their order numbers them, in every batch that a rule looks at.
TYPES = ("special", "digit", "operator", "punctuation", "whitespace", "word")

SCHEMA = table_schema(
    ("policy", "token_id"),
    [
        column("policy", pa.string(), "name of the policy"),
        column("token_id", pa.int32(), "index in the vocabulary"),
        column("text", pa.string(), "the decoded token"),
        column("type", pa.string(), f"{', '.join(TYPES[:-1])} or {TYPES[-1]}"),
    ],
)
