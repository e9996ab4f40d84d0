"""A column's scale: the range that colours and the cloud share, and each value's bin in it.

The range is the same for everything shown.  It goes from the 0.5 % to the 99.5 % quantile, and lies evenly around the
middle where the column has one.  Values beyond an end fall into the end bin.  Knows numbers alone.
"""

import math
from dataclasses import dataclass

import numpy as np

BINS = 64
MISSING = BINS  # the bin of a token that has no value
QUANTILES = 32  # equal shares of the tokens, by which colours can be spread evenly
_SAMPLE = 1_000_000
_ROUNDED = 1e-6  # of a bin: an edge that was written down is still that edge


@dataclass(frozen=True)
class Scale:
    """low < high: the ends of the range.  beyond: whether values lie past each end.  quantiles: 33 of them, rising."""

    low: float
    high: float
    centre: float | None = None
    beyond: tuple[bool, bool] = (False, False)
    quantiles: tuple[float, ...] = ()


def make_scale(value_N: np.ndarray, centre: float | None) -> Scale:
    """The scale of these values (NaN: no value); of nothing, and of one value alone, a range one wide."""
    value_N = value_N[np.isfinite(value_N)]
    if not len(value_N):
        return Scale(0.0, 1.0, centre)
    sample = value_N[:: max(1, len(value_N) // _SAMPLE)].astype(np.float64)  # of the largest float32, too
    low, high = (float(v) for v in np.quantile(sample, [0.005, 0.995]))
    least, most = float(value_N.min()), float(value_N.max())
    if low == high:
        low, high = least, most
    if centre is not None:
        reach = max(abs(low - centre), abs(high - centre))
        low, high = centre - reach, centre + reach
    if low == high:
        low, high = low - 0.5, high + 0.5
    quantiles = tuple(np.quantile(sample, np.linspace(0, 1, QUANTILES + 1)).tolist())
    return Scale(low, high, centre, (least < low, most > high), quantiles)


def to_bins(value_N: np.ndarray, scale: Scale) -> np.ndarray:
    """uint8 N: floor((v - low) / (high - low) * BINS) in float64, within 0 and BINS - 1; MISSING for NaN."""
    place_N = np.floor((value_N.astype(np.float64) - scale.low) / (scale.high - scale.low) * BINS)
    missing_N = np.isnan(place_N)
    place_N[missing_N] = 0
    bin_N = np.clip(place_N, 0, BINS - 1).astype(np.uint8)
    bin_N[missing_N] = MISSING
    return bin_N


def bins_within(low: float | None, high: float | None, scale: Scale) -> tuple[int, int]:
    """The first and the last bin that low..high touches.  An end that is None is open, and what is past the scale is in
    an end bin.
    """

    def place(end: float) -> float:
        return min(2.0, max(-1.0, (end - scale.low) / (scale.high - scale.low))) * BINS

    first = 0 if low is None else math.floor(place(low) + _ROUNDED)
    last = BINS - 1 if high is None else math.ceil(place(high) - _ROUNDED) - 1
    first = min(max(first, 0), BINS - 1)
    return first, max(first, min(last, BINS - 1))
