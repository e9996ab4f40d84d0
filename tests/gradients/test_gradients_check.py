"""`spectrum check` on the tables of `gradients`: clean where they agree, by name where one value was changed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tokenspectrum.checking.found import Report
from tokenspectrum.checking.updates import check_shares, check_updates

LENGTHS = (12, 3, 25)
PATH = Path("gradients.parquet")


@pytest.fixture
def tables() -> dict[str, pa.Table]:
    """Of random gradients of single tokens, with every number by its definition."""
    rng = np.random.default_rng(3)
    n = sum(LENGTHS)
    g_ND, score_N = rng.normal(size=(n, 7)), rng.normal(size=n)
    g_D = g_ND.mean(0)
    response_N, position_N = np.repeat(range(3), LENGTHS), np.concatenate([np.arange(t) for t in LENGTHS])
    decile_N = np.zeros(n, int)
    for r, t in enumerate(LENGTHS):
        own = np.flatnonzero(response_N == r)
        for rank, at in enumerate(own[np.argsort(score_N[own])]):
            decile_N[at] = max(d for d in range(10) if d * t // 10 <= rank)
    rows = []
    masks = {"full": decile_N >= 0} | {f"decile{d}": decile_N == d for d in range(10)}
    for name, mask_N in masks.items():
        part_D = g_ND[mask_N].sum(0) / n
        ratio, proj = np.linalg.norm(part_D) / np.linalg.norm(g_D), part_D @ g_D / (g_D @ g_D)
        rows.append(
            {"subset": name, "denominator": "all", "norm_ratio": ratio, "cosine": proj / ratio, "proj_ratio": proj}
        )
    shuffled = rng.permutation(n)
    places = {"response_id": response_N, "position": position_N}
    return {
        "table": pa.Table.from_pylist(rows),
        "places": pa.table(places),
        "tokens": pa.table({**places, "dot": g_ND @ g_D}).take(shuffled),
        "score": pa.table({**places, "entropy_norm": score_N}).take(shuffled[::-1]),
    }


def check(tables: dict[str, pa.Table]) -> list[str]:
    report = Report()
    check_updates(PATH, tables["table"], report)
    check_shares(PATH, tables["tokens"], tables["places"], tables["table"], tables["score"], "entropy_norm", report)
    assert report.findings or report.compared["updates"] > 20
    return [finding.field for finding in report.findings]


def changed(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    column = table[name].to_pylist()
    column[row] = value
    return table.set_column(table.column_names.index(name), name, pa.array(column))


def test_tables_that_agree_have_nothing_wrong(tables):
    assert check(tables) == []


def test_one_changed_value_is_named(tables):
    table, tokens = tables["table"], tables["tokens"]
    assert "proj_ratio of full" in check(tables | {"table": changed(table, "proj_ratio", 0, 1.01)})
    assert "norm_ratio of full" in check(tables | {"table": changed(table, "norm_ratio", 0, 0.9)})
    assert {"proj_ratio", "dot"} <= set(check(tables | {"table": changed(table, "proj_ratio", 4, 0.7)}))
    assert "dot" in check(tables | {"tokens": changed(tokens, "dot", 2, 99.0)})
    assert check(tables | {"tokens": tokens.slice(1)}) == ["position"]
