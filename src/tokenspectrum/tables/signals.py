"""signals: a row is a token of the base policy's probe as three lenses see it."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "response_id", "position"),
    [
        column("response_id", pa.int32(), "index within the batch of the step"),
        column("position", pa.int32(), "0-based position in the response"),
        column(
            "information",
            pa.float64(),
            "normalised HSIC of the hidden state that emits the token and that of the gold answer",
        ),
        column(
            "importance",
            pa.float64(),
            "divergence of the final answer's tokens, nats a token, if no later token sees this one; null from the "
            "token on whose own state emits the answer",
            nullable=True,
        ),
        column("before", pa.float64(), "success of continuations from before the token"),
        column("after", pa.float64(), "success of continuations from after the token"),
        column(
            "variance",
            pa.float64(),
            "squared difference of the two, less the binomial noise of both: unbiased, so it may be below 0",
        ),
    ],
)
