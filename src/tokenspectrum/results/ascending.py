"""Tokens in the ascending order of a score, within each response.  Knows arrays, not what the scores mean.

A number of 64 bits holds a token's response, its score and its place.  To sort such numbers takes a fifth of the time
of numpy's stable argsort, and gives the same: equal scores stay in the order of their places.

Legend: N tokens, response after response; R responses.
"""

from collections.abc import Iterator

import numpy as np

from tokenspectrum.results.blocks import spans

SORTED_TOGETHER = 1 << 16  # tokens that stay in the processor's cache


def keys(value_N: np.ndarray) -> np.ndarray:
    """uint32 N: whole numbers in the order of the float32 values.  -0 is 0, and what is no number comes last."""
    value_N = value_N.astype(np.float32) + np.float32(0)
    bits_N = value_N.view(np.int32)
    key_N = (bits_N ^ ((bits_N >> 31) | np.int32(-(2**31)))).view(np.uint32)
    if (lost_N := np.isnan(value_N)).any():
        key_N[lost_N] = np.iinfo(np.uint32).max
    return key_N


def order(key_N: np.ndarray, n_R: np.ndarray) -> np.ndarray:
    """int64 N: the places of each response's tokens, ascending by key (uint32) and then by place."""
    order_N = np.empty(len(key_N), np.int64)
    for at, _, place in ordered(key_N, n_R):
        order_N[at] = place
    return order_N


def ordered(key_N: np.ndarray, n_R: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Some responses at a time: where their tokens stand, the sorted numbers of response and key, and the places.

    Two tokens are of the same response and have the same key where these numbers are the same.
    """
    end_R = np.cumsum(n_R)
    for first, last in spans(n_R, SORTED_TOGETHER):
        start, end = int(end_R[first] - n_R[first]), int(end_R[last - 1])
        size = end - start
        # As many responses as tokens at most: 16 bits for each, or none for a response by itself.
        low = np.uint64(max(1, (size - 1).bit_length()))
        packed_N = (key_N[start:end].astype(np.uint64) << low) | np.arange(size, dtype=np.uint64)
        if last - first > 1:
            number_R = np.arange(last - first, dtype=np.uint64) << (np.uint64(32) + low)
            packed_N |= np.repeat(number_R, n_R[first:last])
        packed_N.sort()
        place_N = (packed_N & np.uint64((1 << int(low)) - 1)).astype(np.int64) + start
        yield slice(start, end), packed_N >> low, place_N
