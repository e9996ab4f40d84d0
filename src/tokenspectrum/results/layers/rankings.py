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

from tokenspectrum.results.ascending import keys, ordered, sizes, together
from tokenspectrum.results.block_tokens import Responses

PARTS, MEASURES = ("anchors", "explorers", "all"), ("support_80", "distance", "local_mass")


@dataclass(frozen=True)
class Ranking:
    """Each token's place by one score: whether it is an anchor or an explorer, and its rank less the mean rank.

    A tie has the mean of its places as rank.  Ranks are multiples of a half, so sums of their products are exact.
    """

    anchor_N: np.ndarray
    explorer_N: np.ndarray
    rank_N: np.ndarray


def ranking(score_N: np.ndarray, responses: Responses, p: float) -> Ranking:
    """The places of the tokens by one score, float32; a fraction p of a response is in a partition."""
    n, k_R = len(score_N), sizes(responses.n_R, p)
    found = Ranking(np.empty(n, bool), np.empty(n, bool), np.empty(n))
    for some, at in together(responses.n_R):
        n_R = responses.n_R[some]
        start_N = np.repeat(np.cumsum(n_R) - n_R, n_R)
        n_N, k_N = np.repeat(n_R, n_R), np.repeat(k_R[some], n_R)
        key_N, token_N = ordered(keys(score_N[at]), n_R)
        place_N = np.arange(len(token_N)) - start_N
        # A tie is a run of equal keys: its places are those from its first to its last.
        first = np.flatnonzero(np.r_[True, key_N[1:] != key_N[:-1]])
        long = np.diff(np.r_[first, len(key_N)])
        found.anchor_N[at][token_N] = place_N < k_N
        found.explorer_N[at][token_N] = place_N >= n_N - k_N
        found.rank_N[at][token_N] = np.repeat(first + (long - 1) / 2, long) - start_N - (n_N - 1) / 2
    return found


def compared(base: int, responses: Responses, rankings: Mapping[int, Ranking]) -> Iterator[pa.Table]:
    """A row a response for every pair of rankings by their layers: overlaps, and Spearman's correlation.

    The correlation is null where one of the two is the same score throughout.
    """
    square_R = {layer: responses.sums(one.rank_N * one.rank_N) for layer, one in rankings.items()}
    k_R = responses.sums(next(iter(rankings.values())).anchor_N)
    same = {"response_id": responses.id_R.astype(np.int32), "n": responses.n_R, "k": k_R}
    for b, e in combinations(sorted(rankings), 2):
        one, other = rankings[b], rankings[e]
        size_R = np.sqrt(square_R[b] * square_R[e])
        with np.errstate(invalid="ignore", divide="ignore"):
            spearman_R = responses.sums(one.rank_N * other.rank_N) / size_R
        both = {
            "both_anchor": responses.sums(one.anchor_N & other.anchor_N).astype(float),
            "both_explorer": responses.sums(one.explorer_N & other.explorer_N).astype(float),
        }
        names = {"base": base, "layer": b, "other": e}
        head = {name: np.full(len(responses.id_R), value, np.int32) for name, value in names.items()}
        yield pa.table(head | same | both | {"spearman": pa.array(spearman_R, mask=size_R == 0)})


def parts(base: int, layer: int, responses: Responses, by: Ranking, columns: Mapping[str, np.ndarray]) -> pa.Table:
    """A row a response, part of its tokens and measure: the mean over the tokens that have it, in their order."""
    masks = {"anchors": by.anchor_N, "explorers": by.explorer_N, "all": None}
    found = []
    for part, mask_N in masks.items():
        n_R = responses.n_R if mask_N is None else responses.sums(mask_N)
        at = slice(None) if mask_N is None else np.flatnonzero(mask_N)
        start_R = np.cumsum(n_R) - n_R
        for measure in MEASURES:
            value_K = columns[measure][at]
            count_R = n_R
            if np.ma.is_masked(value_K):
                count_R = np.add.reduceat(~np.ma.getmaskarray(value_K), start_R, dtype=np.int64)
                value_K = np.ma.filled(value_K, 0)
            total_R = np.add.reduceat(np.ma.getdata(value_K).astype(np.float64), start_R)
            own_R = count_R > 0
            names = {"base": pa.scalar(base), "layer": pa.scalar(layer), "part": part, "measure": measure}
            head = {name: pa.repeat(value, int(own_R.sum())) for name, value in names.items()}
            means = {"response_id": responses.id_R[own_R], "value": total_R[own_R] / count_R[own_R]}
            found.append(pa.table(head | means))
    return pa.concat_tables(found)
