"""evaluated: a row is an evaluation sample's text and tokens.  What was right about it stands in `scores`.

It is a table of its own, in a folder of its own: results are made of `scores` and do not depend on texts.
"""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "benchmark", "prompt_id", "sample"),
    [
        column("benchmark", pa.string(), "name of the benchmark"),
        column("prompt_id", pa.string(), "hash of source and problem text"),
        column("sample", pa.int32(), "which of the samples of its problem"),
        column("text", pa.string(), "the response, special tokens left out"),
        column("n_prompt", pa.int32(), "tokens of the prompt, after it was cut on the left"),
        column("finish_reason", pa.string(), "stop or length"),
        column("token_ids", pa.list_(pa.int32()), "the response's tokens"),
        column("rollout_logprobs", pa.list_(pa.float32()), "the sampler's log-probabilities of them, nats"),
    ],
)
