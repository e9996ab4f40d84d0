"""How much a run writes and holds: rows of its token log; bytes of checkpoints, policies and buffers.  Arithmetic only.

The caller gives the bytes of a row on disk, since it knows where they were measured.
"""

from dataclasses import dataclass

import pyarrow as pa

from tokenspectrum.params.evaluate import EvaluateParams
from tokenspectrum.params.sampling import SamplingParams
from tokenspectrum.params.train import TrainParams


@dataclass(frozen=True)
class Rows:
    """Rows of the large tables of one run."""

    responses: int
    tokens: int
    attention: int


def log_rows(train: TrainParams, sampling: SamplingParams, response_tokens: int) -> Rows:
    """Rows of one run whose responses have `response_tokens` tokens on average.

    Each named layer counts once, and the word `rule` counts as one more layer.  A run whose rule reads a named layer
    writes fewer rows.
    """
    responses = train.steps * train.prompts_per_step * sampling.n
    tokens = responses * response_tokens
    layers = len(set(train.token_log.layers)) if train.token_log.attention == "streaming" else 0
    return Rows(responses, tokens if train.token_log.tokens == "every_step" else 0, tokens * layers)


def sample_tokens(evaluate: EvaluateParams, problems: int, response_tokens: int) -> int:
    """Tokens of the evaluation samples that one run keeps; 0 if it keeps none."""
    return evaluate.keep_samples * problems * evaluate.samples * len(set(evaluate.steps)) * response_tokens


def checkpoint_bytes(weights: int, kept: int) -> int:
    """Resumable checkpoints of one run while it trains: float32 weights and AdamW's two moments.

    `kept` of them, and a new one before the oldest goes.
    """
    return 12 * weights * (kept + 1)


def policy_width(train: TrainParams) -> int:
    """Bytes of a weight of a policy that a run leaves: the local trainer writes float32, verl its own type."""
    return 2 if train.trainer == "verl" and train.dtype == "bfloat16" else 4


def policy_bytes(train: TrainParams, weights: int) -> int:
    """Policies that a run leaves: the final one and those of train.keep_steps."""
    return weights * policy_width(train) * len({*train.keep_steps, train.steps})


# A token id and a log-probability of a sampled response, as Python objects with their places in a tuple.
_SAMPLED = 36 + 32
# Two steps are held: the one that is being written, and the next one, which is trained at the same time.
_STEPS_HELD = 2


def row_bytes(schema: pa.Schema) -> int:
    """Bytes of a row in memory, without columns of variable width."""
    return sum(field.type.bit_width // 8 for field in schema if pa.types.is_primitive(field.type))


def driver_bytes(train: TrainParams, sampling: SamplingParams, tokens: pa.Schema, attention: pa.Schema) -> int:
    """Bytes in the trainer's own process: responses and tables of the steps it holds, if all responses are longest."""
    rows = log_rows(train, sampling, sampling.max_response_tokens)
    all_tokens = rows.responses * sampling.max_response_tokens
    total = all_tokens * _SAMPLED + rows.tokens * row_bytes(tokens) + rows.attention * row_bytes(attention)
    return _STEPS_HELD * total // train.steps
