"""sampled: a row is a token as the rollout engine returned it, before scoring (the rollouts stage alone writes it)."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "response_id", "position"),
    [
        column("response_id", pa.int32(), "index within the batch of the step"),
        column("position", pa.int32(), "0-based position in the response"),
        column("token_id", pa.int32(), "sampled token"),
        column("rollout_logprob", pa.float32(), "log-probability that the sampler reported, nats"),
    ],
)
