"""hot_forks: a row is a sample of the base policy with a temperature of its own at forks, or at the other tokens."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "heated", "temperature", "benchmark", "prompt_id", "sample"),
    [
        column("heated", pa.string(), "forks or others: the tokens decoded at the temperature; the rest at 1"),
        column("temperature", pa.float64(), "T'"),
        column("threshold", pa.float64(), "predictive entropy above which a token is a fork, nats"),
        column("benchmark", pa.string(), "name of the benchmark"),
        column("prompt_id", pa.string(), "hash of source and problem text"),
        column("sample", pa.int32(), "which of the samples of its problem"),
        column("correct", pa.bool_(), "the verifier accepted the answer"),
        column("n_tokens", pa.int32(), "response tokens, end-of-sequence included if emitted"),
    ],
)
