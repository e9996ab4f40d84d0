"""Each response's means of every support statistic, for each score and part.

Tokens are read some responses at a time.  So memory does not grow with the probe, but for a kilobyte a response.

Legend: N tokens of the block, response after response; R its responses; M tokens that have a score; K those of a part.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tokenspectrum.results.ascending import keys, order
from tokenspectrum.results.blocks import blocks
from tokenspectrum.results.tables import Tables

SCORES, PARTS = ("normalised", "raw", "first n", "top-k"), ("anchors", "explorers", "random", "all")
STATISTICS = ("50 %", "80 %", "90 %", "95 %", "distance", "local mass", "non-local mass")
COLUMNS = ("support_50", "support_80", "support_90", "support_95", "distance", "local_mass")
WORDS = {name: pa.string() for name in ("score", "part")}
NUMBERS = {name: pa.int32() for name in ("base", "layer", "response_id", "tokens")}
SCHEMA = pa.schema({**WORDS, **NUMBERS, **{name: pa.float64() for name in STATISTICS}})


def by_response(tables: Tables, p: float, first_n: int) -> pa.Table:
    """A row a response, score and part: base, layer, response_id, tokens of the part, and the means of the statistics."""
    found = [
        pa.table(rows, schema=SCHEMA)
        for block in blocks(tables.arrays("responses.sql"))
        for rows in of_block(tables, block, p, first_n)
    ]
    return pa.concat_tables([SCHEMA.empty_table(), *found])


def of_block(tables: Tables, block: dict[str, int], p: float, first_n: int) -> Iterator[dict[str, pa.Array]]:
    """Columns of the rows of one block, for each score and part."""
    columns = tables.arrays("tokens.sql", within=(block["first"], block["last"]), **block)
    id_R, n_R = np.unique(columns["response_id"], return_counts=True)
    response_N = np.repeat(np.arange(len(id_R)), n_R)
    statistics = {name: columns[of].astype(np.float64) for name, of in zip(STATISTICS, COLUMNS, strict=False)}
    statistics["non-local mass"] = 1 - statistics["local mass"]
    topk_N = np.ma.asarray(columns["entropy_topk"])
    scored = {
        "normalised": (columns["entropy_norm"], None),
        "raw": (columns["entropy_raw"], None),
        "first n": (columns["entropy_raw"], columns["position"] < first_n),
        "top-k": (topk_N.data, ~topk_N.mask if np.ma.is_masked(topk_N) else None),
    }

    def means(place_K: np.ndarray, n_R: np.ndarray) -> dict[str, np.ndarray]:
        """Over a part of each response's tokens, which stand at these places."""
        start_R = np.cumsum(n_R) - n_R
        return {"tokens": n_R} | {
            name: np.add.reduceat(value_N[place_K], start_R) / n_R for name, value_N in statistics.items()
        }

    unscored = dict[str, dict[str, np.ndarray]]()
    for score, (value_N, there_N) in scored.items():
        at_M = np.arange(len(response_N)) if there_N is None else np.flatnonzero(there_N)
        if not len(at_M):
            continue
        n_R = np.bincount(response_N[at_M], minlength=len(id_R))
        own_R = id_R[n_R > 0]
        n_R = n_R[n_R > 0]
        k_R = np.maximum(1, np.floor(p * n_R + 0.5)).astype(np.int64)
        lowest, highest = ends(order(keys(value_N[at_M]), n_R), n_R, k_R)
        of = {"anchors": means(at_M[lowest], k_R), "explorers": means(at_M[highest], k_R)}
        if there_N is not None or not unscored:
            first, _ = ends(by_hash(columns["chance"][at_M], n_R), n_R, k_R)
            rest = {"random": means(at_M[first], k_R), "all": means(at_M, n_R)}
            unscored = unscored if there_N is not None else rest  # the same for every score that all tokens have
        else:
            rest = unscored
        for part, found in (of | rest).items():
            named = {"score": score, "part": part, "base": block["base"], "layer": block["layer"]}
            head = {
                name: pa.repeat(pa.scalar(value, SCHEMA.field(name).type), len(own_R)) for name, value in named.items()
            }
            yield head | {"response_id": own_R} | found


def ends(order_M: np.ndarray, n_R: np.ndarray, k_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of each response's first k tokens in this order, and those of its last k; both ascending."""
    rank_M = np.arange(len(order_M)) - np.repeat(np.cumsum(n_R) - n_R, n_R)
    found = []
    for chosen_M in (rank_M < np.repeat(k_R, n_R), rank_M >= np.repeat(n_R - k_R, n_R)):
        at_M = np.zeros(len(order_M), bool)
        at_M[order_M[chosen_M]] = True
        found.append(np.flatnonzero(at_M))
    return found[0], found[1]


def by_hash(hash_M: np.ndarray, n_R: np.ndarray) -> np.ndarray:
    """int64 M: the places of each response's tokens, ascending by the first 60 bits of an MD5.

    `hash_M` has the first 64, the last byte first, as DuckDB's md5_number gives them.
    """
    chance_M = hash_M.byteswap() >> np.uint64(4)
    # The upper 32 bits sort them, but for a token in millions.
    order_M = order((chance_M >> np.uint64(28)).astype(np.uint32), n_R)
    sorted_M, end_R = chance_M[order_M], np.cumsum(n_R)
    wrong = np.setdiff1d(np.flatnonzero(sorted_M[1:] < sorted_M[:-1]), end_R - 1)
    for r in np.unique(np.searchsorted(end_R, wrong, side="right")):
        start, end = end_R[r] - n_R[r], end_R[r]
        order_M[start:end] = start + np.argsort(chance_M[start:end], kind="stable")
    return order_M
