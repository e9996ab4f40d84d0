"""attention_rows: a row is the whole head-mean attention row of a sampled token at a layer."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "response_id", "position", "layer"),
    [
        column("response_id", pa.int32(), "index within the batch of the step"),
        column("position", pa.int32(), "0-based position of the token in the response"),
        column("layer", pa.int32(), "0-based layer"),
        column("row", pa.list_(pa.float16()), "the head-mean attention over the visible positions, oldest first"),
    ],
)
