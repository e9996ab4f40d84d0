"""The result quadrants against plain loops over its tables, in blocks of any size, and on tables that do not fit."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from results_fixtures import BASES, LAYERS, save_params
from test_results_probe import close, make, probe

from tokenspectrum.errors import UserError
from tokenspectrum.results import blocks
from tokenspectrum.tokenlog.writer import write_manifest


def test_quadrants_are_cut_at_each_responses_medians(artifacts, params):
    params["analysis"]["quadrants"] = {"listed": 2}
    rows = make(artifacts, params, "quadrants")
    for base in BASES:
        tokens = probe(artifacts, base)
        for layer in LAYERS:
            medians = {}
            for r in {r for r, _ in tokens}:
                own = [t for key, t in tokens.items() if key[0] == r]
                medians[r] = (
                    np.median([t["predictive_entropy"] for t in own]),
                    np.median([t["layers"][layer]["entropy_norm"] for t in own]),
                )
            where = Counter()
            for (r, _), t in tokens.items():
                cut = medians[r]
                place = (t["predictive_entropy"] > cut[0], t["layers"][layer]["entropy_norm"] > cut[1])
                where[place, t["text"]] += 1
            own = [row for row in rows if (row["base"], row["layer"]) == (str(base), str(layer))]
            listed = {}
            for row in own:
                listed.setdefault((row["predictive"] == "high", row["attention"] == "high"), []).append(row["token"])
            wanted = {}
            for place in {place for place, _ in where}:
                counts = {text: n for (p, text), n in where.items() if p == place}
                wanted[place] = sorted(counts, key=lambda text: (-counts[text], text))[:2]
            assert listed == wanted
            assert len(wanted) == 4
            assert len(own) == 8
            for row in own:
                place = (row["predictive"] == "high", row["attention"] == "high")
                inside = sum(n for (p, _), n in where.items() if p == place)
                everywhere = sum(n for (_, text), n in where.items() if text == row["token"])
                assert int(row["count"]) == where[place, row["token"]]
                assert int(row["tokens"]) == inside
                close(row["over"], where[place, row["token"]] / (everywhere * inside / 78))


@pytest.mark.parametrize("block", [1, 30, 1000])
def test_quadrants_are_the_same_in_blocks_of_any_size(artifacts, params, monkeypatch, block):
    whole = make(artifacts, params, "quadrants")
    monkeypatch.setattr(blocks, "BLOCK", block)
    assert make(artifacts, params, "quadrants") == whole


@pytest.mark.parametrize("block", [1, 1000])
def test_quadrants_refuse_tokens_of_another_probe(artifacts, params, monkeypatch, block):
    """Also where a block has none of them."""
    monkeypatch.setattr(blocks, "BLOCK", block)
    save_params(params)
    path = next(Path(f"{artifacts}/tokens/{BASES[0]}").rglob("*.parquet"))
    rows = pq.read_table(path)
    for changed, told in (
        (rows.slice(1), "hold different tokens; run the tokens stage again"),
        (rows.slice(0, len(rows) - 1), "hold different tokens; run the tokens stage again"),
        (
            rows.set_column(
                rows.schema.get_field_index("token_id"), "token_id", pa.array([99] * len(rows), pa.int32())
            ),
            "token 99 is not in the vocabulary; run the policy stage again",
        ),
        (
            rows.set_column(
                rows.schema.get_field_index("predictive_entropy"),
                "predictive_entropy",
                pa.array([float("nan")] * len(rows), pa.float32()),
            ),
            f"base {BASES[0]}: holds scores that are no numbers; run the tokens stage again",
        ),
    ):
        pq.write_table(changed, path)
        write_manifest(Path(f"{artifacts}/tokens/{BASES[0]}"))
        with pytest.raises(UserError, match=told):
            make(artifacts, params, "quadrants")
