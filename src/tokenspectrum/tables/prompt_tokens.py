"""prompt_tokens: a row is a prompt of a rollout batch as the policy saw it (the rollouts stage alone writes it)."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "prompt_id"),
    [
        column("prompt_id", pa.string(), "hash of source and problem text"),
        column("token_ids", pa.list_(pa.int32()), "chat template applied, cut on the left to the limit"),
        column("n_dropped", pa.int32(), "tokens cut on the left"),
    ],
)
