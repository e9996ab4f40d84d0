"""Preset evidence-smoke, from nothing to the claims: every result that they are decided from, and a row each."""

import csv

from pipeline_kit import make_clone

from tokenspectrum.results.claims.declared import CLAIMS


def test_evidence_smoke_goes_to_claims(tmp_path, warm):
    clone = make_clone(tmp_path / "clone", "evidence-smoke", warm)
    ran = clone.make("claims")
    assert ran["claims"] == "ran"
    rows = list(csv.DictReader((clone.root / "results/claims.csv").open()))
    assert [row["id"] for row in rows] == [claim.id for claim in CLAIMS]
    said = {row["id"]: row for row in rows}
    # What no single preset has: another policy, and another size.
    missing = {name: row["note"] for name, row in said.items() if row["verdict"] == "not run"}
    assert set(missing) <= {"A19", "F6"}, missing
    assert {row["verdict"] for row in rows} <= {"holds", "fails", "undecided", "not run"}
    assert all(row["value"] or row["note"] for row in rows)
    assert clone.make("claims") == {}
