"""One response's reward: the strict verifier and the overlong penalty.  Knows counts of tokens, not the tokens."""

from dataclasses import dataclass

from tokenspectrum.params.reward import RewardParams
from tokenspectrum.reward import boxed
from tokenspectrum.reward.overlong import overlong_penalty


@dataclass(frozen=True)
class Rewarded:
    """What a response earned.

    `reward_raw` is the verifier's.  `reward` is that with the overlong penalty, which `correct` ignores.
    """

    answer: str | None
    correct: bool
    reward_raw: float
    reward: float


def reward_response(
    text: str, n_tokens: int, ground_truth: str, data_source: str, params: RewardParams, limit: int
) -> Rewarded:
    """Verdict and penalty of a response of `n_tokens` tokens, its EOS included; `limit` is the longest allowed."""
    verdict = boxed.verify(text, ground_truth, data_source, params.integer_sources)
    penalty = 0.0
    if params.overlong is not None:
        penalty = overlong_penalty(n_tokens, limit, params.overlong.buffer, params.overlong.factor)
    return Rewarded(verdict.answer, verdict.correct, verdict.reward_raw, verdict.reward_raw + penalty)
