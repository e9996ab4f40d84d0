"""Quadrants of both entropies: tokens counted some responses at a time, then compared by SQL.

Legend: N tokens of a block; R its responses; K rows; Q quadrants; V tokens of the vocabulary.
"""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from tokenspectrum.errors import UserError
from tokenspectrum.results.ascending import keys, order, together
from tokenspectrum.results.block_tokens import Responses, check_numbers, in_responses
from tokenspectrum.results.blocks import blocks
from tokenspectrum.results.declare import Answer
from tokenspectrum.results.given import Given
from tokenspectrum.results.tables import Tables

ENDS = ("low", "high")
WORD = pa.dictionary(pa.int8(), pa.string())
NUMBERS = {"base": pa.int32(), "layer": pa.int32()}
SCHEMA = pa.schema({**NUMBERS, "predictive": WORD, "attention": WORD, "token_id": pa.int32(), "n": pa.int64()})


def compute(tables: Tables, given: Given) -> Answer:
    """The most frequent tokens of every quadrant.  UserError where the tables do not hold the same tokens."""
    attention, tokens = tables.roots["attention"], tables.roots["tokens"]
    vocab = pa.Table.from_pylist(tables.query("vocab.sql", of=["vocab"]))
    ids = 1 + max(vocab["token_id"].to_pylist(), default=-1)
    counts: dict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.zeros((4, ids), np.int64))
    layers = tables.query("layers.sql", of=["attention"])
    for block in blocks(tables.arrays("responses.sql", of=["attention", "tokens"])):
        base = block["base"]
        where, columns = in_responses(tables.arrays("tokens.sql", of=["tokens"], **block))
        if (largest := columns["token_id"].max(initial=-1)) >= ids:
            raise UserError(f"{tokens}: token {largest} is not in the vocabulary; run the policy stage again")
        predicted_N = above_median(check_numbers(columns["value"], f"{tokens}: base {base}"), where)
        for layer in (row["layer"] for row in layers if row["base"] == base):
            here, at_layer = in_responses(tables.arrays("scores.sql", of=["attention"], layer=layer, **block))
            where.check_same(here, attention, tokens)
            value_N = check_numbers(at_layer["value"], f"{attention}: layer {layer}")
            quadrant_N = 2 * predicted_N.astype(np.int64) + above_median(value_N, where)
            found = np.bincount(quadrant_N * ids + columns["token_id"], minlength=4 * ids)
            counts[base, layer] += found.reshape(4, ids)
    return Answer(tables.over("query.sql", values=given.own.model_dump(), counted=counted(counts), vocab=vocab))


def counted(counts: Mapping[tuple[int, int], np.ndarray]) -> pa.Table:
    """A row a base policy, layer, quadrant and token that is in it."""
    found = [SCHEMA.empty_table()]
    for (base, layer), n_QV in counts.items():
        quadrant, token_id = n_QV.nonzero()
        columns = {
            "base": np.full(len(token_id), base, np.int32),
            "layer": np.full(len(token_id), layer, np.int32),
            "predictive": named(quadrant // 2),
            "attention": named(quadrant % 2),
            "token_id": token_id.astype(np.int32),
            "n": n_QV[quadrant, token_id],
        }
        found.append(pa.table(columns, schema=SCHEMA))
    return pa.concat_tables(found)


def named(high_K: np.ndarray) -> pa.Array:
    """Words of 0 and 1."""
    return pa.DictionaryArray.from_arrays(high_K.astype(np.int8), pa.array(ENDS))


def above_median(value_N: np.ndarray, responses: Responses) -> np.ndarray:
    """bool N: whether a token's score is strictly above the median of its response."""
    above_N = np.empty(len(value_N), bool)
    for some, at in together(responses.n_R):
        n_R, own_N = responses.n_R[some], value_N[at]
        sorted_N, start_R = own_N[order(keys(own_N), n_R)], np.cumsum(n_R) - n_R
        lower_R, upper_R = sorted_N[start_R + (n_R - 1) // 2], sorted_N[start_R + n_R // 2]
        # A float32 as the scores are, so that it is the median of `quadrants()` in SQL.
        median_R = ((lower_R.astype(np.float64) + upper_R) / 2).astype(value_N.dtype)
        above_N[at] = own_N > np.repeat(median_R, n_R)
    return above_N
