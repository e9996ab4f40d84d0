"""Counter-based uniforms: against a plain integer SplitMix64, and uniform enough to trust a mask with."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokenspectrum.counter import hash_bits, stream_key, uniforms

MASK = 2**64 - 1


def splitmix(key: int, counter: int) -> int:
    z = (key + (counter + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@given(st.integers(0, MASK), st.integers(0, 2**40))
def test_matches_integer_splitmix(key, counter):
    assert int(hash_bits(np.uint64(key), np.uint64(counter))) == splitmix(key, counter)


def test_every_part_of_the_key_matters():
    base = ("mask", 1, 2, "p", 3)
    changed = [("tie", 1, 2, "p", 3), ("mask", 2, 2, "p", 3), ("mask", 1, 3, "p", 3), ("mask", 1, 2, "q", 3)]
    keys = {stream_key(*k) for k in [base, *changed, ("mask", 1, 2, "p", 4), ("mask", 12, 0, "p", 3)]}
    assert len(keys) == 7


def test_uniforms_are_uniform_and_in_range():
    u = uniforms(np.uint64(stream_key("mask", 0, 0, "p", 0)), np.arange(200_000))
    assert u.min() >= 0
    assert u.max() < 1
    counts = np.histogram(u, bins=20, range=(0, 1))[0]
    chi2 = ((counts - 10_000) ** 2 / 10_000).sum()
    assert chi2 < 50  # 19 degrees of freedom: p about 1e-4
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.01
