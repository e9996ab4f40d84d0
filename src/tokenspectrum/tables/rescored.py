"""rescored: a row is a token of a base policy's probe as another policy scores it."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "base", "response_id", "position"),
    [
        column("base", pa.int32(), "the base policy whose probe it is"),
        column("response_id", pa.int32(), "index within that probe"),
        column("position", pa.int32(), "0-based position in the response"),
        column("logprob", pa.float32(), "of the scoring policy, full vocabulary, temperature 1, nats"),
        column("predictive_entropy", pa.float32(), "of the scoring policy's next-token distribution there, nats"),
    ],
)
