"""responses: a row is a rollout."""

import pyarrow as pa

from tokenspectrum.tables.field import column, table_schema

SCHEMA = table_schema(
    ("run", "seed", "step", "response_id"),
    [
        column("response_id", pa.int32(), "index within the batch of the step, prompt-major"),
        column("prompt_id", pa.string(), "hash of source and problem text"),
        column("sample", pa.int32(), "which of the n responses of its prompt"),
        column("text", pa.string(), "the decoded response"),
        column("n_prompt", pa.int32(), "prompt tokens after left truncation, without padding"),
        column("n_tokens", pa.int32(), "response tokens, end-of-sequence included if emitted"),
        column("finish_reason", pa.string(), "stop or length"),
        column(
            "answer", pa.string(), "the last boxed answer as the verifier read it, null without a box", nullable=True
        ),
        column("reward", pa.float32(), "reward with the overlong penalty"),
        column("reward_raw", pa.float32(), "reward without the overlong penalty: -2, -1 or +1"),
        column("correct", pa.bool_(), "the verifier accepted the answer; ignores the overlong penalty"),
        column("advantage", pa.float32(), "group-normalised reward, before any weight"),
    ],
)
