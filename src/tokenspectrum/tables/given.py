"""given: a row is a response that was sampled elsewhere, as `spectrum import` writes it.  No stage writes it."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("prompt_id", "sample"),
    [
        column("prompt_id", pa.string(), "hash of source and problem text"),
        column("sample", pa.int32(), "index within the group of the prompt"),
        column("prompt_token_ids", pa.list_(pa.int32()), "the prompt as the policy saw it"),
        column("token_ids", pa.list_(pa.int32()), "the response's tokens"),
        column("finish_reason", pa.string(), "stop or length"),
        column(
            "logprobs", pa.list_(pa.float32()), "the sampler's log-probabilities, nats; null: unknown", nullable=True
        ),
        column("reward", pa.float64(), "what it earned there; null: unknown", nullable=True),
    ],
)
