"""The rankings of a probe's tokens by each layer, and by predictive entropy, some responses at a time.

Within a response: one stable ascending sort by (score, position).  Anchors are the first k, explorers the last k.
Knows arrays; knows no figure and no file.

Legend: N tokens of the block, in order; R its responses; B, E the numbers of two layers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa

PARTS, MEASURES = ("anchors", "explorers", "all"), ("support_80", "distance", "local_mass")


@dataclass(frozen=True)
class Responses:
    """Where the tokens of a block stand: responses ascending, and positions ascending within them."""

    id_R: np.ndarray
    start_R: np.ndarray
    n_R: np.ndarray
    k_R: np.ndarray
    position_N: np.ndarray

    @property
    def of_N(self) -> np.ndarray:
        """int64 N: the number of each token's response."""
        return np.repeat(np.arange(len(self.n_R)), self.n_R)

    def sums(self, value_N: np.ndarray) -> np.ndarray:
        """Sum over the tokens of each response."""
        return np.add.reduceat(value_N, self.start_R)

    def same(self, other: "Responses") -> bool:
        """Whether both are of the same tokens."""
        pairs = ((self.id_R, other.id_R), (self.n_R, other.n_R), (self.position_N, other.position_N))
        return all(np.array_equal(a, b) for a, b in pairs)


@dataclass(frozen=True)
class Ranking:
    """Each token's place by one score: whether it is an anchor or an explorer, and its rank less the mean rank.

    A tie has the mean of its places as rank.  Ranks are multiples of a half, so sums of their products are exact.
    """

    anchor_N: np.ndarray
    explorer_N: np.ndarray
    rank_N: np.ndarray


def in_order(columns: Mapping[str, np.ndarray], p: float) -> tuple[Responses, dict[str, np.ndarray]]:
    """The responses of a block, and its other columns in the order of their tokens.

    k = max(1, floor(p n + 0.5)) of the n tokens of each response.
    """
    key_N = (columns["response_id"].astype(np.int64) << 32) + columns["position"]
    given = dict(columns)
    if (key_N[1:] < key_N[:-1]).any():  # the tables are written in that order, so mostly nothing is sorted
        order_N = np.argsort(key_N)
        given = {name: values[order_N] for name, values in columns.items()}
    id_R, start_R, n_R = np.unique(given.pop("response_id"), return_index=True, return_counts=True)
    k_R = np.maximum(1, np.floor(p * n_R + 0.5)).astype(np.int64)
    return Responses(id_R, start_R, n_R, k_R, given.pop("position")), given


def ranking(score_N: np.ndarray, responses: Responses) -> Ranking:
    """The places of the tokens by one score, float32."""
    response_N, n_N = responses.of_N, np.repeat(responses.n_R, responses.n_R)
    # Sorted as whole numbers: the response above, and below it the score's bits, which ascend as it does.
    bits_N = (score_N.astype(np.float32) + np.float32(0)).view(np.int32).astype(np.int64)  # -0 is 0
    bits_N = np.where(bits_N < 0, -(bits_N & 0x7FFFFFFF), bits_N)
    key_N = (response_N << 33) + (bits_N + (1 << 31))
    order_N = np.argsort(key_N, kind="stable")
    start_N = np.repeat(responses.start_R, responses.n_R)
    place_N = np.empty(len(order_N), np.int64)
    place_N[order_N] = np.arange(len(order_N)) - start_N + 1
    # A tie is a run of equal keys: its places are those from its first to its last.
    sorted_N = key_N[order_N]
    first = np.flatnonzero(np.r_[True, sorted_N[1:] != sorted_N[:-1]])
    long = np.diff(np.r_[first, len(sorted_N)])
    rank_N = np.empty(len(order_N))
    rank_N[order_N] = np.repeat(first + (long + 1) / 2, long) - start_N
    k_N = np.repeat(responses.k_R, responses.n_R)
    return Ranking(place_N <= k_N, place_N > n_N - k_N, rank_N - (n_N + 1) / 2)


def compared(base: int, responses: Responses, rankings: Mapping[int, Ranking]) -> Iterator[pa.Table]:
    """A row a response for every pair of rankings by their layers: overlaps, and Spearman's correlation.

    The correlation is null where one of the two is the same score throughout.
    """
    square_R = {layer: responses.sums(one.rank_N * one.rank_N) for layer, one in rankings.items()}
    same = {"response_id": responses.id_R.astype(np.int32), "n": responses.n_R, "k": responses.k_R}
    for b, e in combinations(sorted(rankings), 2):
        one, other = rankings[b], rankings[e]
        size_R = np.sqrt(square_R[b] * square_R[e])
        with np.errstate(invalid="ignore", divide="ignore"):
            spearman_R = responses.sums(one.rank_N * other.rank_N) / size_R
        both = {
            "both_anchor": responses.sums((one.anchor_N & other.anchor_N).astype(np.int64)).astype(float),
            "both_explorer": responses.sums((one.explorer_N & other.explorer_N).astype(np.int64)).astype(float),
        }
        names = {"base": base, "layer": b, "other": e}
        head = {name: np.full(len(responses.id_R), value, np.int32) for name, value in names.items()}
        yield pa.table(head | same | both | {"spearman": pa.array(spearman_R, mask=size_R == 0)})


def parts(base: int, layer: int, responses: Responses, by: Ranking, columns: Mapping[str, np.ndarray]) -> pa.Table:
    """A row a response, part of its tokens and measure: the mean over the tokens that have it, in their order."""
    response_N = responses.of_N
    everywhere = np.ones(len(response_N), bool)
    found = []
    for part, there_N in zip(PARTS, (by.anchor_N, by.explorer_N, everywhere), strict=True):
        for measure in MEASURES:
            value_N = columns[measure]
            at = np.flatnonzero(there_N & ~np.ma.getmaskarray(value_N))
            count_R = np.bincount(response_N[at], minlength=len(responses.n_R))
            total_R = np.bincount(response_N[at], weights=np.ma.getdata(value_N)[at], minlength=len(responses.n_R))
            own_R = count_R > 0
            names = {"base": pa.scalar(base), "layer": pa.scalar(layer), "part": part, "measure": measure}
            head = {name: pa.repeat(value, int(own_R.sum())) for name, value in names.items()}
            means = {"response_id": responses.id_R[own_R], "value": total_R[own_R] / count_R[own_R]}
            found.append(pa.table(head | means))
    return pa.concat_tables(found)
