"""Each response's means of every support statistic, for each score and part.

Tokens are read some responses at a time.  So memory does not grow with the probe, but for a few numbers a response.
Sums are over the tokens of a part in the order of their positions.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tokenspectrum.results.blocks import blocks
from tokenspectrum.results.tables import Tables

SCORES, PARTS = ("normalised", "raw", "first n", "top-k"), ("anchors", "explorers", "random", "all")
STATISTICS = ("50 %", "80 %", "90 %", "95 %", "distance", "local mass", "non-local mass")


def by_response(tables: Tables, p: float, first_n: int) -> pa.Table:
    """A row a response, score, part and statistic: base, layer, score, part, statistic, response_id, value, tokens."""
    found = [
        pa.table(row) for block in blocks(tables.query("responses.sql")) for row in of_block(tables, block, p, first_n)
    ]
    names = {name: pa.string() for name in ("score", "part", "statistic")}
    numbers = {name: pa.int64() for name in ("base", "layer", "response_id", "tokens")}
    schema = pa.schema({**names, **numbers, "value": pa.float64()})
    return (
        pa.concat_tables([table.select(schema.names).cast(schema) for table in found])
        if found
        else schema.empty_table()
    )


def of_block(tables: Tables, block: dict[str, int], p: float, first_n: int) -> Iterator[dict[str, Any]]:
    """Columns of the rows of one block, for each score, part and statistic."""
    base, layer = block["base"], block["layer"]
    columns = tables.arrays("tokens.sql", base=base, layer=layer, first=block["first"], last=block["last"])
    response_R, segment_N = np.unique(columns["response_id"], return_inverse=True)
    topk = np.ma.asarray(columns["entropy_topk"])
    everywhere = np.ones(len(segment_N), bool)
    scored = {
        "normalised": (columns["entropy_norm"], everywhere),
        "raw": (columns["entropy_raw"], everywhere),
        "first n": (columns["entropy_raw"], columns["position"] < first_n),
        "top-k": (topk.data, ~np.ma.getmaskarray(topk)),
    }
    values = [
        columns[name] for name in ("support_50", "support_80", "support_90", "support_95", "distance", "local_mass")
    ]
    statistics = dict(zip(STATISTICS, [*values, 1 - columns["local_mass"]], strict=True))
    for score, (value_N, there_N) in scored.items():
        for part, at in zip(PARTS, parts(value_N, columns["chance"], segment_N, there_N, p), strict=True):
            tokens_R = np.bincount(segment_N[at], minlength=len(response_R))
            own = tokens_R > 0
            head = {"response_id": response_R[own], "tokens": tokens_R[own]}
            n = int(own.sum())
            for statistic, of_N in statistics.items():
                total_R = np.bincount(segment_N[at], weights=of_N[at], minlength=len(response_R))
                named = {"base": base, "layer": layer, "score": score, "part": part}
                same = {name: [one] * n for name, one in (named | {"statistic": statistic}).items()}
                yield same | head | {"value": total_R[own] / tokens_R[own]}


def parts(
    value_N: np.ndarray, chance_N: np.ndarray, segment_N: np.ndarray, there_N: np.ndarray, p: float
) -> tuple[np.ndarray, ...]:
    """Places of anchors, explorers, tokens by chance, and all of them, each ascending.

    k = max(1, floor(p n + 0.5)) of the n tokens of each response that have the score.
    """
    at = np.flatnonzero(there_N)
    chosen = np.zeros((3, len(at)), bool)
    end = 0
    for n in np.bincount(segment_N[at]).tolist():
        start, end = end, end + n
        k = max(1, int(np.floor(p * n + 0.5)))
        order = np.argsort(value_N[at[start:end]], kind="stable")
        chosen[0, start + order[:k]] = True
        chosen[1, start + order[max(0, n - k) :]] = True
        chosen[2, start + np.argsort(chance_N[at[start:end]], kind="stable")[:k]] = True
    return at[chosen[0]], at[chosen[1]], at[chosen[2]], at
