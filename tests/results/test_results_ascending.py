"""Orders, ranks and bins of many tokens against numpy's, scipy's and hashlib's."""

import hashlib

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from tokenspectrum.results import ascending
from tokenspectrum.results.ascending import in_order, keys, order, sizes, together
from tokenspectrum.results.block_tokens import in_responses
from tokenspectrum.results.quadrants.result import above_median
from tokenspectrum.results.scatter import ranks
from tokenspectrum.results.scatter.ranks import Ranks
from tokenspectrum.results.scatter.result import bins
from tokenspectrum.results.support.md5 import of_places
from tokenspectrum.results.support.parts import by_chance
from tokenspectrum.results.tables import _array
from tokenspectrum.weighting.rules._masks import kept_count

# Few values, so that most are ties; signed zeros, numbers below the normal ones, and no numbers of both signs.
VALUES = [-np.inf, -1.5, -1e-42, -0.0, 0.0, 1e-42, 0.25, 0.5, np.inf, np.nan, float(np.copysign(np.nan, -1))]
scores = st.lists(st.sampled_from(VALUES) | st.floats(width=32), min_size=1, max_size=30)


@settings(deadline=None)
@given(st.lists(scores, min_size=1, max_size=8), st.integers(1, 60))
def test_tokens_are_in_the_order_of_numpys_stable_sort(responses, most):
    n_R, value_N = np.array([len(of) for of in responses]), np.concatenate(responses).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ascending, "SORTED_TOGETHER", most)
        found = [order(keys(value_N[at]), n_R[some]) + at.start for some, at in together(n_R)]
    wanted = [np.argsort(np.array(of, np.float32), kind="stable") for of in responses]
    start_R = np.cumsum(n_R) - n_R
    assert np.array_equal(
        np.concatenate(found), np.concatenate([s + of for s, of in zip(start_R, wanted, strict=True)])
    )


@given(st.lists(st.integers(1, 10**6), min_size=1), st.floats(0, 1))
def test_partitions_have_the_sizes_of_the_weighting_rules(lengths, p):
    assert sizes(np.array(lengths), p).tolist() == kept_count(np.array(lengths), p).tolist()


near = st.integers(0, 3).map(lambda i: float(np.float32(0.1) + i * np.spacing(np.float32(0.1))))


@settings(deadline=None)
@given(st.lists(st.lists(near | st.floats(0, 8, width=32), min_size=1, max_size=9), min_size=1, max_size=6))
def test_a_token_is_above_the_median_where_duckdb_says_so(responses):
    """Also where the mean of the two in the middle is rounded to one of them."""
    ids = np.repeat(np.arange(len(responses)), [len(of) for of in responses])
    columns = {"response_id": ids, "position": np.concatenate([np.arange(len(of)) for of in responses])}
    value_N = np.concatenate(responses).astype(np.float32)
    rows = pa.table({**columns, "value": value_N})
    with duckdb.connect() as connection:
        wanted = connection.execute(
            "SELECT value > median(value) OVER (PARTITION BY response_id) FROM rows ORDER BY response_id, position"
        ).fetchall()
    where, _ = in_responses(columns)
    assert above_median(value_N, where).tolist() == [above for (above,) in wanted]
    assert rows.num_rows == len(wanted)


def test_rows_come_by_response_and_position():
    rows = np.random.default_rng(0).permutation(40)
    columns = {"response_id": rows // 8, "position": rows % 8, "value": rows}
    assert in_order(columns)["value"].tolist() == list(range(40))
    kept = {name: np.sort(rows) // by for name, by in (("response_id", 8), ("value", 1))} | {
        "position": np.arange(40) % 8
    }
    assert in_order(kept)["value"] is kept["value"]


@settings(deadline=None)
@given(st.lists(scores, min_size=1, max_size=8), st.integers(1, 4), st.integers(1, 3))
def test_ranks_are_scipys_whatever_the_blocks(tmp_path_factory, blocks, kept, merged):
    value = [np.array(of, np.float32) for of in blocks]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "KEPT", kept)
        patch.setattr(ranks, "MERGED", merged)
        all_ranks = Ranks(tmp_path_factory.mktemp("ranks"))
        for of in value:
            all_ranks.add(of)
        all_ranks.settle()
        found = [all_ranks.block(r) for r in range(len(value))]
    assert all(np.array_equal(a, b, equal_nan=True) for (a, _), b in zip(found, value, strict=True))
    wanted = rankdata(np.concatenate(value).astype(np.float64))
    assert np.array_equal(np.concatenate([rank for _, rank in found]), wanted, equal_nan=True)


def test_a_range_of_ranks_is_bounded_whatever_the_values(monkeypatch):
    monkeypatch.setattr(ranks, "KEPT", 4)
    monkeypatch.setattr(ranks, "MERGED", 5)
    rng, blocks = np.random.default_rng(0), 7
    for share in (0, 0.3, 0.9):  # so many of them are the same
        many = [np.sort(keys(np.where(rng.random(300) < share, 0.5, rng.random(300)))) for _ in range(blocks)]
        bound_P = ranks.ranges(np.concatenate([of[::4] for of in many])).tolist()
        every = np.concatenate(many)
        for low, high in zip(bound_P, [*bound_P[1:], 2**32], strict=True):
            held = np.count_nonzero((every >= low) & (every < high))
            assert high - low == 1 or held <= (3 * 5 + blocks) * 4


# Numbers of one to ten digits, so that texts end at every place of a word.
whole = st.sampled_from([0, 9, 10, 99, 100, 12345, 999_999, 1_000_000, 99_999_999, 100_000_000, 2**31 - 1])


@settings(deadline=None)
@given(st.lists(st.tuples(whole, st.lists(st.integers(0, 120_000), min_size=1, max_size=5)), min_size=1, max_size=5))
def test_hashes_are_those_of_hashlib(responses):
    texts = [f"{response}/{position}" for response, positions in responses for position in positions]
    wanted = [int(hashlib.md5(text.encode()).hexdigest()[:15], 16) for text in texts]
    id_R, n_R = np.array([of for of, _ in responses]), np.array([len(of) for _, of in responses])
    assert of_places(id_R, n_R, np.concatenate([of for _, of in responses])).tolist() == wanted


def test_tokens_of_chance_are_in_the_order_of_their_hashes():
    rng, n_R = np.random.default_rng(0), np.array([50, 120])
    for alike in (0, 28, 40):  # so many of the upper bits are the same
        hash_M = rng.integers(0, 2**60, 170, np.uint64) >> np.uint64(alike) << np.uint64(alike // 2)
        wanted = sorted(range(170), key=lambda i: (i >= 50, int(hash_M[i]), i))
        assert by_chance(hash_M, n_R).tolist() == wanted


def test_bins_are_numpys():
    rng = np.random.default_rng(0)
    for x in (rng.random(500), rng.integers(0, 5, 500) / 4, np.full(9, 0.5)):
        of = x.astype(np.float32).astype(np.float64)
        edges = np.histogram_bin_edges(of, 40)
        assert np.array_equal(np.bincount(bins(of, edges), minlength=40), np.histogram(of, edges)[0])


def test_columns_are_masked_where_they_are_null():
    chunks = [
        pa.array([1.5, None, 2.5], pa.float32()),
        pa.array([3.5], pa.float32()),
        pa.array([None] * 9, pa.float32())[1:],
    ]
    found = _array(pa.chunked_array(chunks))
    assert found.mask.tolist() == [False, True, False, False] + [True] * 8
    assert found.compressed().tolist() == [1.5, 2.5, 3.5]
    assert _array(pa.chunked_array(chunks[1:2])).dtype == np.float32
    assert _array(pa.chunked_array([], pa.int32())).tolist() == []
