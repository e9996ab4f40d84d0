"""Soft rules: a token's weight lies between w_low(s) and w_high(s), by its normalised attention entropy.

ANCHOR eq. 26-30.  All arithmetic is float64.  In `exact` mode a weight depends on the batch only by its smallest and
largest score.  In `literal` mode it also depends on a sum over the batch's tokens.  Knows scores and the schedule.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.outcome import Outcome
from tokenspectrum.weighting.rules._schedule import between

if TYPE_CHECKING:
    from tokenspectrum.weighting.rules.soft import SoftRule

log = logging.getLogger(__name__)

FLAT = 1e-12  # below this range of scores every token gets abar = 0.5
TAU_MIN, TAU_MAX = 0.01, 10.0


def soft(rule: "SoftRule", batch: TokenBatch, r: float) -> Outcome:
    """w_t = (1 - abar_t) w_low(r) + abar_t w_high(r) for all tokens of the batch.  Rules differ in the ends and in r.

    With a floor, a token weighs max(w_t, floor), and `at_floor` is the fraction of the tokens that were below it.
    """
    if rule.tau == "auto":
        raise ValueError(f"{rule.kind}: tau is auto; fit the rule first")
    score_N = batch.score_N(rule.score)
    w_low, w_high = between(rule.w_low, r), between(rule.w_high, r)
    selected_N = torch.ones(batch.n_tokens, dtype=torch.bool)
    if batch.n_tokens == 0:
        return Outcome(score_N.double(), selected_N, score_N)
    h_min, h_max = score_N.double().aminmax()
    flat = bool(h_max - h_min < FLAT)
    if flat:
        log.warning("step %d: all scores are %g, so abar is 0.5 for every token", batch.step, float(h_max))
    abar_N = normalised(score_N, rule.tau, rule.eps_mode, rule.eps)
    extra = {
        "mean_abar": float(abar_N.mean()),
        "max_abar": float(abar_N.max()),
        "h_min": float(h_min),
        "h_max": float(h_max),
        "flat": float(flat),
        "w_low": w_low,
        "w_high": w_high,
        "ramp": r,
    }
    weight_N = (1 - abar_N) * w_low + abar_N * w_high
    if rule.floor is not None:
        extra["at_floor"] = float((weight_N < rule.floor).double().mean())
        weight_N = weight_N.clamp(min=rule.floor)
    return Outcome(weight_N, selected_N, score_N, extra=extra)


def normalised(score_N: torch.Tensor, tau: float, eps_mode: str, eps: float | None = None) -> torch.Tensor:
    """abar_N in [0, 1], float64.  It is 0.5 everywhere if all scores are equal to within 1e-12.

    exact:    (e_t - e_min) / (1 - e_min) with e_t = exp((H_t - H_max) / tau): eq. 26-27 with eps = 0.
    literal:  (a_t - a_min) / (a_max - a_min + eps) with a = softmax(H / tau) over the batch.  As a_t = e_t / Z with
              Z = sum e, this is (e_t - e_min) / (1 - e_min + eps Z).  Z grows with the batch, so the largest abar
              becomes smaller.
    """
    score_N = score_N.double()
    h_min, h_max = score_N.aminmax()
    if h_max - h_min < FLAT:
        return torch.full_like(score_N, 0.5)
    # For a large tau every e is close to 1.  expm1 keeps the digits of e_t - e_min then.
    drop_N = torch.expm1((score_N - h_max) / tau)
    drop_min = torch.expm1((h_min - h_max) / tau)
    span = -drop_min
    if eps_mode == "literal":
        if eps is None:
            raise ValueError("eps_mode literal needs eps")
        span = span + eps * (drop_N + 1).sum()
    return (drop_N - drop_min) / span


def fitted_tau(rule: "SoftRule", batch: TokenBatch) -> float:
    """The number that replaces `tau: auto` of a rule, found on the base policy's tokens."""
    score_N = batch.score_N(rule.score)
    tau = solve_tau(score_N, rule.eps_mode, rule.eps)
    mean = float(normalised(score_N, tau, rule.eps_mode, rule.eps).mean())
    log.info("%s: tau auto is %g, where mean(abar) is %.4f", rule.kind, tau, mean)
    return tau


def solve_tau(score_N: torch.Tensor, eps_mode: str, eps: float | None = None) -> float:
    """tau in [0.01, 10] at which mean(abar) = 0.5 on these scores, by bisection, rounded to 3 significant digits.

    If no tau of that interval reaches 0.5, it is the bound that comes nearest, and a warning is logged.
    """
    return _bisect(lambda tau: float(normalised(score_N, tau, eps_mode, eps).mean()) - 0.5)


def _bisect(excess: Callable[[float], float]) -> float:
    low, high = TAU_MIN, TAU_MAX
    at_low, at_high = excess(low), excess(high)
    if at_low > 0 or at_high < 0 or at_low == at_high:
        bound, at = min(((low, at_low), (high, at_high)), key=lambda pair: abs(pair[1]))
        log.warning("tau auto: mean(abar) cannot be 0.5 for tau in [%g, %g]; %g gives %.3f", low, high, bound, at + 0.5)
        return bound
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return float(f"{high:.3g}")
