"""Each response's means of every support statistic, for each score and part.

Tokens are read some responses at a time.  So memory does not grow with the probe, but for a kilobyte a response.

Legend: N tokens, response after response; R responses; M tokens that have a score; K those of a part.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tokenspectrum.results.ascending import in_order, keys, order, sizes, together
from tokenspectrum.results.blocks import blocks
from tokenspectrum.results.support.md5 import of_places
from tokenspectrum.results.tables import Tables

SCORES, PARTS = ("normalised", "raw", "first n", "top-k"), ("anchors", "explorers", "random", "all")
STATISTICS = ("50 %", "80 %", "90 %", "95 %", "distance", "local mass", "non-local mass")
COLUMNS = ("support_50", "support_80", "support_90", "support_95", "distance", "local_mass")
WORDS = {name: pa.dictionary(pa.int8(), pa.string()) for name in ("score", "part")}
NUMBERS = {name: pa.int32() for name in ("base", "layer", "response_id", "tokens")}
SCHEMA = pa.schema({**WORDS, **NUMBERS, **{name: pa.float64() for name in STATISTICS}})


def by_response(tables: Tables, p: float, first_n: int) -> pa.Table:
    """A row a response, score and part: base, layer, response_id, the part's tokens, and means of the statistics."""
    found = [of_block(tables, block, p, first_n) for block in blocks(tables.arrays("responses.sql"))]
    return pa.concat_tables(found) if found else SCHEMA.empty_table()


def of_block(tables: Tables, block: dict[str, Any], p: float, first_n: int) -> pa.Table:
    """The rows of one block."""
    columns = in_order(tables.arrays("tokens.sql", **block))
    id_R, n_R = np.unique(columns.pop("response_id"), return_counts=True)
    found: list[Rows] = []
    for some, at in together(n_R):
        found += of_responses(id_R[some], n_R[some], {name: of[at] for name, of in columns.items()}, p, first_n)
    rows = [len(of.tokens_R) for of in found]
    arrays = {
        "score": named(np.repeat([of.score for of in found], rows), SCORES),
        "part": named(np.repeat([of.part for of in found], rows), PARTS),
        "base": np.full(sum(rows), block["base"]),
        "layer": np.full(sum(rows), block["layer"]),
        "response_id": np.concatenate([of.id_R for of in found]),
        "tokens": np.concatenate([of.tokens_R for of in found]),
    }
    means_7R = np.concatenate([of.means_7R for of in found], axis=1)
    return pa.table(arrays | dict(zip(STATISTICS, means_7R, strict=True)), schema=SCHEMA)


def named(number_R: np.ndarray, words: Sequence[str]) -> pa.Array:
    """Words by their numbers."""
    return pa.DictionaryArray.from_arrays(number_R.astype(np.int8), pa.array(words))


class Rows(NamedTuple):
    """Of one score and part, by their numbers: the responses, and the means over the part's tokens."""

    score: int
    part: int
    id_R: np.ndarray
    tokens_R: np.ndarray
    means_7R: np.ndarray


def of_responses(
    id_R: np.ndarray, n_R: np.ndarray, columns: Mapping[str, np.ndarray], p: float, first_n: int
) -> Iterator[Rows]:
    """The rows of responses that are sorted together."""
    response_N = np.repeat(np.arange(len(id_R)), n_R)
    statistics = [columns[name].astype(np.float64) for name in COLUMNS]
    statistics.append(1 - statistics[-1])  # what is not local
    # A hash of its place in the data says how early a token comes among those that chance takes.
    hash_N = of_places(id_R, n_R, columns["position"])
    topk_N = np.ma.asarray(columns["entropy_topk"])
    scored = (
        (columns["entropy_norm"], None),
        (columns["entropy_raw"], None),
        (columns["entropy_raw"], columns["position"] < first_n),
        (topk_N.data, ~topk_N.mask if np.ma.is_masked(topk_N) else None),
    )

    def means(place_K: np.ndarray, n_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens, and means of their statistics: the first n of these places are the first response's, and so on."""
        start_R = np.cumsum(n_R) - n_R
        return n_R, np.stack([np.add.reduceat(of_N[place_K], start_R) for of_N in statistics]) / n_R

    common: list[tuple[np.ndarray, np.ndarray]] = []
    for score, (value_N, there_N) in enumerate(scored):
        at_M = np.arange(len(value_N)) if there_N is None else np.flatnonzero(there_N)
        if not len(at_M):
            continue
        all_R = np.bincount(response_N[at_M], minlength=len(id_R))
        own_R, m_R = id_R[all_R > 0], all_R[all_R > 0]
        k_R = sizes(m_R, p)
        lowest, highest = ends(order(keys(value_N[at_M]), m_R), m_R, k_R)
        found = [means(at_M[lowest], k_R), means(at_M[highest], k_R)]
        if there_N is None and common:
            found += common  # scores that all tokens have share their random tokens
        else:
            first, _ = ends(by_chance(hash_N[at_M], m_R), m_R, k_R)
            found += [means(at_M[first], k_R), means(at_M, m_R)]
            common = found[2:] if there_N is None else common
        for part, of in enumerate(found):
            yield Rows(score, part, own_R, *of)


def ends(order_M: np.ndarray, n_R: np.ndarray, k_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of each response's first k tokens in this order, and those of its last k; both ascending."""
    rank_M = np.arange(len(order_M)) - np.repeat(np.cumsum(n_R) - n_R, n_R)
    found = []
    for chosen_M in (rank_M < np.repeat(k_R, n_R), rank_M >= np.repeat(n_R - k_R, n_R)):
        at_M = np.zeros(len(order_M), bool)
        at_M[order_M[chosen_M]] = True
        found.append(np.flatnonzero(at_M))
    return found[0], found[1]


def by_chance(hash_M: np.ndarray, n_R: np.ndarray) -> np.ndarray:
    """int64 M: the places of each response's tokens, ascending by a hash of 60 bits."""
    # The upper 32 bits sort them, but for a token in millions.
    order_M = order((hash_M >> np.uint64(28)).astype(np.uint32), n_R)
    sorted_M, end_R = hash_M[order_M], np.cumsum(n_R)
    wrong = np.setdiff1d(np.flatnonzero(sorted_M[1:] < sorted_M[:-1]), end_R - 1)
    for r in np.unique(np.searchsorted(end_R, wrong, side="right")):
        start, end = end_R[r] - n_R[r], end_R[r]
        order_M[start:end] = start + np.argsort(hash_M[start:end], kind="stable")
    return order_M
