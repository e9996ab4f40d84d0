"""gradients: a row is the gradient of a subset of tokens against the full-token gradient."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "subset", "denominator", "layer"),
    [
        column("subset", pa.string(), "name of the subset of tokens"),
        column("denominator", pa.string(), "selected or all"),
        column("layer", pa.int32(), "0-based attention layer that ranked the tokens, null if none", nullable=True),
        column("tokens", pa.int64(), "tokens with a weight above 0"),
        column("norm_ratio", pa.float64(), "norm of g_S over that of g; null if g is zero", nullable=True),
        column("cosine", pa.float64(), "cosine of g_S and g; null if one is zero", nullable=True),
        column("proj_ratio", pa.float64(), "<g_S, g> over the squared norm of g; null if g is zero", nullable=True),
        column(
            "gain",
            pa.float64(),
            "points of accuracy that a step against g_S brings, to first order, a unit of its length",
            nullable=True,
        ),
        column(
            "overlap",
            pa.float64(),
            "of a control: share of its tokens that the subset it matches has too; null for others",
            nullable=True,
        ),
    ],
)
