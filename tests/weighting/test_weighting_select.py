"""The first k of each segment, against Python's own sort."""

import numpy as np
import pytest

from tokenspectrum.weighting.rules._select import first_k, grouped


def by_sorting(keys: list[np.ndarray], segment_N: np.ndarray, k_S: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """What is asked for, token by token."""
    chosen, cuts = np.zeros(len(segment_N), bool), []
    for s, k in enumerate(k_S):
        order = sorted(np.flatnonzero(segment_N == s), key=lambda i: tuple(key[i] for key in keys))
        chosen[order[:k]] = True
        if order:
            cuts.append(keys[0][order[min(k, len(order)) - 1]])
    return chosen, cuts


@pytest.mark.parametrize("order", ["ascending", "scattered"])
@pytest.mark.parametrize("values", [3, 50, 10**6])
def test_first_k_is_that_of_a_sort(order: str, values: int) -> None:
    """Few values make many ties at the cut; some segments are empty, and of some all tokens are asked for."""
    rng = np.random.default_rng(values)
    segment_N = rng.integers(0, 12, 400) * 2
    segment_N = np.sort(segment_N) if order == "ascending" else segment_N
    keys = [rng.integers(0, values, 400).astype(np.float32), rng.integers(0, 4, 400), rng.permutation(400)]
    k_S = rng.integers(1, 40, 26)
    found, cut = first_k([lambda at, key=key: key[at] for key in keys], segment_N, k_S)
    expected, cuts = by_sorting(keys, segment_N, k_S)
    assert (found == expected).all()
    assert cut.tolist() == cuts
    assert cut.dtype == np.float32


def test_a_segment_that_gives_none_gives_none() -> None:
    """Its tokens have the lowest values of all, and below 0."""
    segment_N, value_N = np.array([0, 1, 0, 1]), np.array([-5.0, 1.0, -6.0, 2.0])
    found, _ = first_k([lambda at: value_N[at]], segment_N, np.array([0, 1]))
    assert found.tolist() == [False, True, False, False]


def test_no_tokens() -> None:
    found, cut = first_k([lambda at: np.zeros(0)[at]], np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert found.shape == cut.shape == (0,)


def test_grouped_keeps_the_order_within_a_segment() -> None:
    """Also where segments need more than 16 bits."""
    segment_N = np.random.default_rng(0).integers(0, 3, 200) * 70_000
    assert (grouped(segment_N) == np.argsort(segment_N, kind="stable")).all()
