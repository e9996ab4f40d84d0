"""token_gradients: a row is the gradient of one token, g_t = -A_t grad log pi(y_t)."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "response_id", "position"),
    [
        column("response_id", pa.int32(), "index within the batch of the step"),
        column("position", pa.int32(), "0-based position in the response"),
        column("norm", pa.float64(), "norm of g_t; null where it was not asked for", nullable=True),
        column("dot", pa.float64(), "<g_t, g>, g the full-token gradient: the mean of all g_t"),
        column("accuracy_dot", pa.float64(), "<g_t, h>, h the gradient of accuracy on the other half of the prompts"),
    ],
)
