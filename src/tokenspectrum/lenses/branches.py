"""Cross-rollout variance: how a token changes the chance of success, by continuations from before and after it.

With success a of n continuations that keep the token and b of n that do not:

    variance = (a - b)^2 - a (1 - a) / (n - 1) - b (1 - b) / (n - 1)

whose mean is the true squared difference: the binomial noise of both is taken off.

Knows an engine, prompts and a judge.  Knows no model.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tokenspectrum.rollout.engine import RolloutEngine, check_groups
from tokenspectrum.rollout.types import Prompt, Response, Sampling

DOMAIN = "lenses"


@dataclass(frozen=True)
class Success:
    """The share of n continuations that are right; `sure` where nothing is left to draw."""

    share: float
    n: int
    sure: bool = False

    @property
    def noise(self) -> float:
        """Its binomial variance, unbiased."""
        return 0.0 if self.sure else self.share * (1 - self.share) / (self.n - 1)


def variance(before: Success, after: Success) -> float:
    """The unbiased squared difference."""
    return (after.share - before.share) ** 2 - after.noise - before.noise


def successes(
    engine: RolloutEngine,
    response: Response,
    cuts: Sequence[int],
    sampling: Sampling,
    seed: int,
    right: Callable[[Sequence[Sequence[int]]], Sequence[bool]],
    positions: int | None = None,
) -> Mapping[int, Success]:
    """Success of `sampling.n` continuations after the first c tokens of `response`, for every c of `cuts`.

    A continuation is cut off where the response would be, at sampling.max_tokens.  `right` judges whole responses.  The
    whole response has one outcome alone.  `positions` are those of the policy, if it has a limit.
    """
    found: dict[int, Success] = {}
    length = len(response.token_ids)
    for first, some in _together([cut for cut in cuts if cut < length], response, sampling.max_tokens, positions):
        prompts = [
            Prompt(
                f"{response.prompt_id}/{response.sample}/{cut}", response.prompt_token_ids + response.token_ids[:cut]
            )
            for cut in some
        ]
        shorter = replace(sampling, max_tokens=sampling.max_tokens - first)
        answers = engine.generate(prompts, shorter, seed, 0, domain=DOMAIN)
        check_groups(answers, prompts, sampling.n)
        for i, cut in enumerate(some):
            own = answers[i * sampling.n : (i + 1) * sampling.n]
            whole = [(response.token_ids[:cut] + a.token_ids)[: sampling.max_tokens] for a in own]
            found[cut] = Success(sum(right(whole)) / sampling.n, sampling.n)
    if length in cuts:
        found[length] = Success(float(right([response.token_ids])[0]), sampling.n, sure=True)
    return found


def _together(
    cuts: Sequence[int], response: Response, limit: int, positions: int | None
) -> Iterator[tuple[int, Sequence[int]]]:
    """(f, cuts that are sampled at once, each `limit` - f tokens), so that the policy has the positions for them.

    Where it has them for `limit` tokens after every cut, all are sampled at once.
    """
    wide = limit if positions is None else max(1, positions - len(response.prompt_token_ids) - limit + 1)
    groups = itertools.groupby(sorted(cuts), lambda cut: cut // wide)
    yield from ((group * wide, list(some)) for group, some in groups)
