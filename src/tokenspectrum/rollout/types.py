"""What goes into a rollout engine and what comes out.  Knows no engine, no model and no reward."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Prompt:
    """A problem as token ids, chat template applied, cut on the left to the limit."""

    prompt_id: str
    token_ids: tuple[int, ...]
    n_dropped: int = 0  # tokens cut on the left


@dataclass(frozen=True)
class Heat:
    """A temperature for tokens whose entropy (nats, at temperature 1) is above a threshold, and one for the others."""

    threshold: float
    above: float
    below: float


@dataclass(frozen=True)
class Sampling:
    """How to sample: temperature divides the logits, then top-p cuts the tail; max_tokens counts response tokens.

    With `heat` the temperature depends on the token, and `temperature` is 1.
    """

    temperature: float
    top_p: float
    max_tokens: int
    n: int  # responses a prompt
    heat: Heat | None = None

    def __post_init__(self) -> None:
        if self.heat is not None and self.temperature != 1:
            raise ValueError(f"temperature {self.temperature} beside a heat: it is 1 there")


@dataclass(frozen=True)
class Response:
    """One sampled response.

    `logprobs` are the sampler's: natural log of the full-vocabulary distribution before top-p renormalises it, at the
    sampling temperature (transformers) or at temperature 1 (vLLM, which reports no other).  At temperature 1 both are
    the policy's own log-probabilities up to float noise.
    `token_ids` ends with the end-of-sequence token exactly when finish_reason is "stop".
    """

    prompt_id: str
    sample: int  # 0 .. n-1 of its prompt
    prompt_token_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: Literal["stop", "length"]
