"""The page of claims: what a cell shows."""

from tokenspectrum.results.claims.page import dependent, with_part


def test_a_part_without_a_value_is_left_out():
    assert with_part({"part": "entropy_norm", "value": None}) == ""
    assert with_part({"part": "entropy_norm", "value": 0.25}) == "entropy_norm: 0.25"
    assert with_part({"part": None, "value": 0.25}) == "0.25"


def row(name: str, n: int | None, of: str | None, bases: int | None) -> dict:
    return {"id": name, "n": n, "of": of, "bases": bases}


def test_trainings_that_share_a_base_policy_are_told():
    """Not where each has its own, where there is one, or where the values are of responses."""
    alone = [row("A1", 3, "replicates", 3), row("A2", 4, "replicates", 1), row("A6", 512, "responses", 3)]
    alone += [row("A18", 2, "replicates", 3), row("A1", None, None, None)]
    alone += [row("A19", 3, "replicates", 2)]  # on one base policy of each of two presets
    assert dependent(alone) == []
    (told,) = dependent(
        [*alone, row("A3", 8, "seeds", 3), row("A4", 5, "survivors", 3), row("A13", 4, "replicates", 2)]
    )
    assert "independent in A3, A4, A13.**" in told
