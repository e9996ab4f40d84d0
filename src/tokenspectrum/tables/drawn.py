"""drawn: a row is a response of the probe as its shard sampled it, before it is judged (the sample stage writes it)."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "prompt_id", "sample"),
    [
        column("prompt_id", pa.string(), "the problem"),
        column("sample", pa.int32(), "index within the group of the prompt"),
        column("finish_reason", pa.string(), "stop or length"),
        column("token_ids", pa.list_(pa.int32()), "sampled tokens"),
        column(
            "rollout_logprobs", pa.list_(pa.float32()), "their log-probabilities as the sampler reported them, nats"
        ),
    ],
)
