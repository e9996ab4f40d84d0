"""How the gradient of a subset of tokens lies to that of all tokens.  Knows numbers, not models.

With g_S = sum_{t in S} w_t g_t / D and g = sum_t g_t / N:
NormRatio |g_S| / |g|, Cosine <g_S, g> / (|g_S| |g|), ProjRatio <g_S, g> / |g|^2.
D is the number of all tokens (`all`) or the sum of the weights (`selected`).  The cosine is the same under both.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """Of one subset under one denominator; None where a gradient is zero."""

    norm_ratio: float | None
    cosine: float | None
    proj_ratio: float | None


def geometry(own: float, along: float, whole: float, scale: float = 1.0) -> Geometry:
    """`own` = |g_S|^2, `along` = <g_S, g>, `whole` = |g|^2, all under `all`; `scale` = N / D."""
    if whole == 0:
        return Geometry(None, None, None)
    cosine = along / math.sqrt(own * whole) if own else None
    return Geometry(scale * math.sqrt(own / whole), cosine, scale * along / whole)


def deciles(score: list[float]) -> list[int]:
    """The decile, 0 to 9, of each token of one response: edges floor(d T / 10) of one stable sort by (score, place)."""
    order = sorted(range(len(score)), key=lambda t: (score[t], t))
    edges = [d * len(score) // 10 for d in range(1, 10)]
    decile = [0] * len(score)
    for place, t in enumerate(order):
        decile[t] = sum(place >= edge for edge in edges)
    return decile
