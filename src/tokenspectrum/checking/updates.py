"""The tables `gradients` and `token_gradients` of a base policy, against each other.  Knows no model and no rule.

All tokens together are the whole update: NormRatio, Cosine and ProjRatio are 1, which is sum <g_t, g> / N = |g|^2.
ProjRatio is NormRatio times Cosine.  The ten deciles share out the update: the tokens of a decile have its share of
sum <g_t, g>, and the ten ProjRatios sum to 1.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from tokenspectrum.checking.found import Report
from tokenspectrum.gradients.geometry import deciles

TOLERANCE = 1e-3  # of sums over tokens of float32 gradients, against one backward pass
PARTS = ("norm_ratio", "cosine", "proj_ratio")


def check_updates(path: Path, table: pa.Table, report: Report) -> None:
    """The rows of `gradients` alone."""
    rows = table.to_pylist()
    measured = [row for row in rows if all(row[name] is not None for name in PARTS)]
    wanted = [row["norm_ratio"] * row["cosine"] for row in measured]
    report.same("updates", path, "proj_ratio", [row["proj_ratio"] for row in measured], wanted, TOLERANCE)
    whole = [row for row in measured if row["subset"] == "full"]
    for name in PARTS:
        report.same("updates", path, f"{name} of full", [row[name] for row in whole], [1.0] * len(whole), TOLERANCE)
    shares = [row["proj_ratio"] for row in rows if _is_decile(row)]
    if shares and whole and None not in shares:
        report.same("updates", path, "proj_ratio of the deciles", [sum(shares)], [1.0], TOLERANCE)


def check_shares(
    path: Path, tokens: pa.Table, places: pa.Table, table: pa.Table, score: pa.Table, name: str, report: Report
) -> None:
    """Each token once, and the deciles' shares of sum <g_t, g>; `score` has the attention rows of the deciles' layer.

    `places` are the probe's tokens, `name` the column that ranks them.
    """
    keys = ("response_id", "position")
    found, wanted = (sorted(zip(*(of[key].to_pylist() for key in keys), strict=True)) for of in (tokens, places))
    if found != wanted:
        report.wrong(path, None, "position", "its tokens are not those of the probe")
        return
    dot = dict(
        zip(zip(*(tokens[key].to_pylist() for key in keys), strict=True), tokens["dot"].to_pylist(), strict=True)
    )
    total = sum(dot.values())
    share = {row["subset"]: row["proj_ratio"] for row in table.to_pylist() if _is_decile(row)}
    if not share or total == 0 or None in share.values():
        return
    responses: dict[int, list[tuple[int, float]]] = {}
    for response, position, value in zip(*(score[key].to_pylist() for key in (*keys, name)), strict=True):
        responses.setdefault(response, []).append((position, value))
    sums = np.zeros(10)
    for response, values in responses.items():
        values.sort()
        for (position, _), decile in zip(values, deciles([value for _, value in values]), strict=True):
            sums[decile] += dot[response, position]
    names = sorted(share)
    report.same(
        "updates", path, "dot", [share[one] for one in names], [sums[int(one[-1])] / total for one in names], TOLERANCE
    )


def _is_decile(row: dict[str, object]) -> bool:
    return str(row["subset"]).startswith("decile") and row["denominator"] == "all"
