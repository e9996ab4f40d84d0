"""DAPO's soft penalty for responses that come close to the length limit.  Knows lengths only."""


def overlong_penalty(n_tokens: int, limit: int, buffer: int, factor: float) -> float:
    """min(0, -(n_tokens - (limit - buffer)) / buffer * factor): 0 up to limit - buffer tokens, then down to -factor.

    `limit` is the longest response allowed (L_max), `buffer` the last tokens of it over which the penalty grows (B);
    1 <= buffer <= limit.
    """
    return min(0.0, -(n_tokens - (limit - buffer)) / buffer * factor)
