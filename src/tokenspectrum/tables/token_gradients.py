"""token_gradients: a row is the gradient of one sampled token."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "response_id", "position"),
    [
        column("response_id", pa.int32(), "index within the batch of the step"),
        column("position", pa.int32(), "0-based position in the response"),
        column("norm", pa.float64(), "norm of the gradient of this token alone"),
        column("dot", pa.float64(), "inner product with the full-token gradient g"),
    ],
)
