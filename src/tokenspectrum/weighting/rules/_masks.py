"""Hard rules: weight 1 for the tokens that a partition keeps, 0 for the others.

Knows scores, positions and thresholds.  Knows nothing of the loss and its denominator.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch

from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.outcome import Outcome
from tokenspectrum.weighting.rules._draws import token_uniforms
from tokenspectrum.weighting.rules._select import Key, first_k

if TYPE_CHECKING:
    from typing import Protocol

    class Kept(Protocol):
        """A rule that keeps the fraction p of the tokens."""

        @property
        def p(self) -> float: ...

    class Ranked(Kept, Protocol):
        """One that ranks them by a score, within each segment of `scope`."""

        @property
        def scope(self) -> str: ...
        @property
        def score(self) -> str: ...


def everything(batch: TokenBatch) -> Outcome:
    """Every token gets weight 1: full-token training."""
    return keep(torch.ones(batch.n_tokens, dtype=torch.bool))


def bernoulli(rule: "Kept", batch: TokenBatch) -> Outcome:
    """Keep each token with probability p: u < p, where u is a hash of (seed, step, prompt_id, sample, position)."""
    u_N = torch.from_numpy(mask_uniforms(batch))
    return keep(u_N < rule.p, u_N)


def lowest(rule: "Ranked", batch: TokenBatch) -> Outcome:
    """Keep the k tokens of each segment with the lowest score: anchors, sure predictions, the least loss."""
    return _extreme(rule, batch, 1)


def highest(rule: "Ranked", batch: TokenBatch) -> Outcome:
    """Keep the k tokens of each segment with the highest score: explorers, forking tokens, the most loss."""
    return _extreme(rule, batch, -1)


def kept_count(size_S: np.ndarray, p: float) -> np.ndarray:
    """k = max(1, floor(p*T + 0.5)) in float64, elementwise; int64."""
    return np.maximum(1, np.floor(size_S.astype(np.float64) * p + 0.5).astype(np.int64))


def by_place(batch: TokenBatch, *, sign: int = 1) -> list[Key]:
    """Keys that tell all tokens apart: position, then (prompt_id, sample), then the place in the batch.

    So what is chosen depends on what the batch holds, and not on its order.  sign -1 turns the order around.
    """
    responses = range(len(batch.prompt_ids))
    by_name = sorted(responses, key=lambda r: (batch.prompt_ids[r], int(batch.samples_R[r])))
    name_rank_R = np.empty(len(by_name), np.int64)
    name_rank_R[by_name] = np.arange(len(by_name))
    position_N, response_N = batch.position_N.numpy(), batch.response_N.numpy()
    return [
        lambda at: sign * position_N[at],
        lambda at: sign * name_rank_R[response_N[at]],
        lambda at: sign * np.arange(batch.n_tokens)[at],
    ]


def mask_uniforms(batch: TokenBatch) -> np.ndarray:
    """float64 N in [0, 1): the counter-based draws that every random mask uses."""
    return token_uniforms(batch, "mask")


def ranked_among(rule: object, batch: TokenBatch) -> torch.Tensor:
    """bool N: the tokens that a rule ranks, which are all unless it has a `first_n`."""
    first_n = getattr(rule, "first_n", None)
    return batch.position_N < (batch.n_tokens if first_n is None else first_n)


def _extreme(rule: "Ranked", batch: TokenBatch, sign: int) -> Outcome:
    """Keep the first k tokens of each segment, ascending by sign times (score, tie, position, name)."""
    score_N = batch.score_N(rule.score)
    segment_N, values_N = batch.segment_N(rule.scope).numpy(), score_N.numpy()
    keys: list[Key] = [lambda at: values_N[at] if sign > 0 else -values_N[at]]
    # Many tokens have equal loss: all of a response before the first update, and all clipped ones after it.  Ranked by
    # position they would make a front or a back mask, so chance breaks their ties.
    if rule.score == "loss_magnitude":
        u_N = mask_uniforms(batch)
        keys.append(lambda at: sign * u_N[at])
    keys += by_place(batch, sign=sign)
    among_N = ranked_among(rule, batch).numpy()
    if among_N.all():
        selected_N, cut_S = first_k(keys, segment_N, kept_count(np.bincount(segment_N), rule.p))
    else:
        places = np.flatnonzero(among_N)
        among = [lambda at, key=key: key(places[at]) for key in keys]
        size_S = np.bincount(segment_N[places])
        chosen_M, cut_S = first_k(among, segment_N[places], kept_count(size_S, rule.p))
        selected_N = np.zeros(batch.n_tokens, bool)
        selected_N[places[chosen_M]] = True
    return keep(torch.from_numpy(selected_N), score_N, torch.from_numpy(sign * cut_S))


def progress(batch: TokenBatch) -> torch.Tensor:
    """(t+1)/T in float64, because a float32 quotient would move tokens across the threshold."""
    return (batch.position_N + 1).double() / batch.lengths_R[batch.response_N].double()


def keep(selected_N: torch.Tensor, score_N: torch.Tensor | None = None, cut_S: torch.Tensor | None = None) -> Outcome:
    return Outcome(selected_N.float(), selected_N, score_N, cut_S)
