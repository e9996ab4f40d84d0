"""The page of claims: what a cell shows."""

from tokenspectrum.results.claims.page import with_part


def test_a_part_without_a_value_is_left_out():
    assert with_part({"part": "entropy_norm", "value": None}) == ""
    assert with_part({"part": "entropy_norm", "value": 0.25}) == "entropy_norm: 0.25"
    assert with_part({"part": None, "value": 0.25}) == "0.25"
