"""The first k tokens of each segment by a list of keys, without sorting the batch.

A sort would order all tokens to find one threshold.  Here each segment's k-th value is found in linear time.  Only
tokens that are equal to it are compared by the next key.  Knows arrays, and no rule.
"""

from collections.abc import Callable, Sequence

import numpy as np

Places = np.ndarray | slice
Key = Callable[[Places], np.ndarray]
"""The values of a key for tokens at these places of the batch."""


def first_k(keys: Sequence[Key], segment_N: np.ndarray, k_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool N: the first k_S[s] tokens of each segment s, ascending by the first key, where equal by the next one.

    Also the largest first key among them for each segment of S that has tokens, in the order of S (k_S is at least 1
    there).  The last key must tell all tokens of a segment apart.  Values must be finite; segments are numbered from 0.
    """
    size_S = np.bincount(segment_N, minlength=len(k_S))
    chosen_N, cut_S = _chosen(keys, slice(None), segment_N, np.minimum(k_S, size_S), size_S)
    return chosen_N, cut_S[size_S > 0]


def _chosen(
    keys: Sequence[Key], at: Places, segment_N: np.ndarray, k_S: np.ndarray, size_S: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    value_N = keys[0](at)
    cut_S = _kth(value_N, segment_N, k_S, size_S)
    # Of a segment that gives none, no token is below or at the cut.
    some_S = k_S > 0
    cut_N = cut_S[segment_N]
    chosen_N, tied_N = value_N < cut_N, value_N == cut_N
    if not some_S.all():
        chosen_N &= some_S[segment_N]
        tied_N &= some_S[segment_N]
    left_S = k_S - np.bincount(segment_N[chosen_N], minlength=len(k_S))
    contested_S = np.bincount(segment_N[tied_N], minlength=len(k_S)) > left_S
    if contested_S.any():
        among = np.flatnonzero(tied_N & contested_S[segment_N])
        segment_M = segment_N[among]
        size_M = np.bincount(segment_M, minlength=len(k_S))
        place = among if isinstance(at, slice) else at[among]
        chosen_M, _ = _chosen(keys[1:], place, segment_M, np.where(contested_S, left_S, 0), size_M)
        tied_N[among] = chosen_M
    return chosen_N | tied_N, cut_S


def _kth(value_N: np.ndarray, segment_N: np.ndarray, k_S: np.ndarray, size_S: np.ndarray) -> np.ndarray:
    """The k-th smallest value of each segment; 0 where k is 0."""
    if len(segment_N) and (segment_N[1:] < segment_N[:-1]).any():
        value_N = value_N[grouped(segment_N)]
    cut_S = np.zeros(len(k_S), value_N.dtype)
    end_S = size_S.cumsum()
    for s in np.flatnonzero(k_S):
        part = value_N[end_S[s] - size_S[s] : end_S[s]]
        k = int(k_S[s])
        cut_S[s] = part.max() if k == len(part) else np.partition(part, k - 1)[k - 1]
    return cut_S


def grouped(segment_N: np.ndarray) -> np.ndarray:
    """int64 N: the places of the tokens, segment by segment and in the batch's order within each.

    Sorts digits of 16 bits, the only integers that numpy sorts by counting.
    """
    order_N = np.argsort((segment_N & 0xFFFF).astype(np.uint16), kind="stable")
    for shift in range(16, int(segment_N.max(initial=0)).bit_length(), 16):
        digit_N = (segment_N >> shift & 0xFFFF).astype(np.uint16)
        order_N = order_N[np.argsort(digit_N[order_N], kind="stable")]
    return order_N
