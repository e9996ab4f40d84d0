"""sparse_gradients: a row is one random draw over the tokens of a small batch, and how far its gradient is from g."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "estimator", "p", "draw"),
    [
        column(
            "estimator",
            pa.string(),
            "expected: the sum of kept g_t over p T; selected: over the kept tokens; signs: the sum of e_t g_t over T",
        ),
        column("p", pa.float64(), "fraction that a mask keeps; of signs, 1"),
        column("draw", pa.int32(), "0-based number of the draw"),
        column("batch", pa.int64(), "T: tokens of the small batch"),
        column("tokens", pa.int64(), "tokens kept"),
        column(
            "error",
            pa.float64(),
            "|g_p - g|^2 / |g|^2; of signs |(1/T) sum e_t g_t|^2 / |g|^2; null if g is zero or nothing was kept",
            nullable=True,
        ),
        column("cosine", pa.float64(), "cosine of g_p and g; null for signs, and if one is zero", nullable=True),
    ],
)
