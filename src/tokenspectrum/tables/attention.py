"""attention: a row is the head-mean attention row of a response token at a layer, in numbers."""

import pyarrow as pa

from tokenspectrum.row_statistics import STATISTICS
from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "response_id", "position", "layer"),
    [
        column("response_id", pa.int32(), "index within the batch of the step"),
        column("position", pa.int32(), "0-based position of the token in the response"),
        column("layer", pa.int32(), "0-based layer"),
        column("visible", pa.int32(), "positions that the row sees (N_t)"),
        *(column(s.name, pa.int32() if s.counts else pa.float32(), s.about, nullable=s.optional) for s in STATISTICS),
    ],
)
