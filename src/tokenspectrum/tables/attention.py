"""attention: a row is the head-mean attention row of a response token at a layer, in numbers."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "response_id", "position", "layer"),
    [
        column("response_id", pa.int32(), "index within the batch of the step"),
        column("position", pa.int32(), "0-based position of the token in the response"),
        column("layer", pa.int32(), "0-based layer"),
        column("visible", pa.int32(), "positions that the row sees (N_t)"),
        column("entropy_raw", pa.float32(), "entropy of the head-mean row, nats"),
        column("entropy_norm", pa.float32(), "entropy_raw / ln visible, 0 where visible is 1"),
        column("distance", pa.float32(), "mean attention distance, positions"),
        column("local_mass", pa.float32(), "mass within the local window"),
        column("entropy_topk", pa.float32(), "of the k largest entries, renormalised, nats", nullable=True),
        column("entropy_fixed", pa.float32(), "of the first K visible positions, renormalised, nats", nullable=True),
        column("support_50", pa.int32(), "fewest positions that hold 50 % of the mass", nullable=True),
        column("support_80", pa.int32(), "fewest positions that hold 80 % of the mass", nullable=True),
        column("support_90", pa.int32(), "fewest positions that hold 90 % of the mass", nullable=True),
        column("support_95", pa.int32(), "fewest positions that hold 95 % of the mass", nullable=True),
    ],
)
