"""tokens: a row is a response token that a policy was, or could be, trained on."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "response_id", "position"),
    [
        column("response_id", pa.int32(), "index within the batch of the step"),
        column("position", pa.int32(), "0-based position in the response"),
        column("token_id", pa.int32(), "the token"),
        column("logprob", pa.float32(), "of the old policy, full vocabulary, temperature 1, nats"),
        column("rollout_logprob", pa.float32(), "what the sampler reported, nats"),
        column(
            "predictive_entropy", pa.float32(), "of the next-token distribution that emits it, full vocabulary, nats"
        ),
        column("advantage", pa.float32(), "of its response, before the weight"),
        column(
            "weight", pa.float32(), "under the rule of the run; null at step 0, where nothing is trained", nullable=True
        ),
        column("minibatch", pa.int32(), "mini-batch of the update that it fell into; null at step 0", nullable=True),
        column("ratio", pa.float32(), "current over old probability at its update, where logged", nullable=True),
        column("loss", pa.float32(), "clipped term at its update, before the weight, where logged", nullable=True),
    ],
)
