"""Ranks of many numbers among all of them, in memory that does not grow with them: an external merge sort.

Values come in blocks.  Each block is sorted and kept in a file.  Then the sorted blocks are merged, a range of values
at a time, and each number in the file is replaced by its rank.  The disk holds eight bytes a value.

Legend: N values of a block; R blocks; P ranges of values; M values in a range.
"""

from pathlib import Path

import numpy as np

from tokenspectrum.results.ascending import keys, ordered

KEPT = 1024  # of so many sorted values of a block, one is kept in memory, to choose the ranges by
MERGED = 2048  # kept values of a range


class Ranks:
    """First `add` all blocks, then `settle`, then read each block's values and ranks.

    Ranks begin at 1; ties have the mean of their places.  Where one value is no number, no rank is.
    """

    def __init__(self, folder: Path):
        self._values, self._sorted = folder / "values", folder / "sorted"
        self._start_R = [0]
        self._kept: list[np.ndarray] = []
        self._is_lost = False
        self._cut_RP = np.empty((0, 0), np.int64)
        self._before_P = np.empty(0)

    def add(self, value_N: np.ndarray) -> None:
        """One block of float32."""
        key_N = np.sort(keys(value_N))
        for path, array_N in ((self._values, value_N), (self._sorted, key_N)):
            with path.open("ab") as file:
                array_N.tofile(file)
        self._start_R.append(self._start_R[-1] + len(key_N))
        self._kept.append(key_N[::KEPT].copy())
        self._is_lost |= bool(np.isnan(value_N).any())

    def settle(self) -> None:
        """Put the ranks in the place of the sorted values."""
        if self._is_lost:
            return
        bound_P = ranges(np.concatenate(self._kept))
        starts = list(zip(self._start_R, self._start_R[1:], strict=False))
        cuts = [[*np.searchsorted(self._read(self._sorted, *ends), bound_P), ends[1] - ends[0]] for ends in starts]
        self._cut_RP = np.array(cuts, np.int64)
        size_P = np.diff(self._cut_RP).sum(axis=0)
        self._before_P = (np.cumsum(size_P) - size_P).astype(np.float64)
        is_one_P = np.append(np.diff(bound_P.astype(np.int64)) == 1, False)
        with self._sorted.open("r+b") as file:
            for p, size in enumerate(size_P.tolist()):
                places = [(a + cut_P[p], a + cut_P[p + 1]) for (a, _), cut_P in zip(starts, self._cut_RP, strict=True)]
                if not is_one_P[p]:
                    key_M = np.concatenate([self._read(self._sorted, *ends) for ends in places])
                    parts = np.split(twice_ranks(key_M), np.cumsum([end - start for start, end in places])[:-1])
                for i, (start, end) in enumerate(places):
                    # However many tokens have the one value of a range: they have one rank.
                    rank_N = np.full(end - start, size + 1, np.uint32) if is_one_P[p] else parts[i]
                    file.seek(4 * start)
                    file.write(rank_N.tobytes())

    def block(self, r: int) -> tuple[np.ndarray, np.ndarray]:
        """float32 N, float64 N: the values of a block, as they came, and their ranks."""
        ends = self._start_R[r], self._start_R[r + 1]
        value_N = self._read(self._values, *ends).view(np.float32)
        if self._is_lost:
            return value_N, np.full(len(value_N), np.nan)
        _, place_N = ordered(keys(value_N), np.array([len(value_N)]))
        rank_N = np.empty(len(value_N))
        rank_N[place_N] = self._read(self._sorted, *ends) / 2 + np.repeat(self._before_P, np.diff(self._cut_RP[r]))
        return value_N, rank_N

    def _read(self, path: Path, start: int, end: int) -> np.ndarray:
        return np.fromfile(path, np.uint32, end - start, offset=4 * start)


def ranges(kept: np.ndarray) -> np.ndarray:
    """uint32 P: where each range begins.  A value that fills a range has one of its own.

    A range that has more than one value holds at most (3 MERGED + R) KEPT of them.
    """
    chosen, times = np.unique(np.sort(kept)[MERGED::MERGED], return_counts=True)
    return np.unique(np.concatenate([[0], chosen, chosen[times > 1].astype(np.int64) + 1])).astype(np.uint32)


def twice_ranks(key_M: np.ndarray) -> np.ndarray:
    """uint32 M: ranks among these, times two; ties have the mean of their places, from 1."""
    sorted_M, place_M = ordered(key_M, np.array([len(key_M)]))
    first = np.flatnonzero(np.r_[True, sorted_M[1:] != sorted_M[:-1]])
    long = np.diff(np.r_[first, len(sorted_M)])
    rank_M = np.empty(len(key_M), np.uint32)
    rank_M[place_M] = np.repeat(2 * first + long + 1, long)
    return rank_M
