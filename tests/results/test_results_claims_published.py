"""README and docs/evidence.md tell what the kept CSV has, in their tables and in their counts."""

from collections import Counter
from pathlib import Path

import pytest

from tokenspectrum.results import kept_claims as published
from tokenspectrum.results.claims.declared import CLAIMS
from tokenspectrum.results.claims.page import dependent
from tokenspectrum.results.csvfile import read_plain

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_pages_hold_what_the_csv_gives():
    for path, text in published.pages().items():
        assert path.read_text() == text, f"{path}: run `python -m tokenspectrum.results.kept_claims`"


def test_the_counts_in_words_are_those_of_the_csv():
    of = Counter(row["verdict"] for row in read_plain(published.KEPT))
    readme = " ".join(published.README.read_text().split())
    counts = (
        f"**{of['holds']} hold, {of['fails']} fail, {of['undecided']} are undecided, and {of['not run']} were not run**"
    )
    assert f"Of {sum(of.values())} claims {counts}" in readme
    each = ", ".join(f"{of[name]} {name}" for name in ("holds", "fails", "undecided", "not run"))
    assert f"Of {sum(of.values())} claims: {each}." in published.EVIDENCE.read_text()


def test_what_shares_a_base_policy_is_told_beside_the_tables():
    (told,) = dependent(read_plain(published.KEPT))
    assert told in published.EVIDENCE.read_text()


def test_the_kept_csv_is_of_the_claims_as_they_are_declared():
    rows = read_plain(published.KEPT)
    told = [tuple(row[name] for name in ("id", "claim", "measure", "rule", "family")) for row in rows]
    assert told == [(c.id, c.claim, c.measure, c.rule, c.family) for c in CLAIMS]


def test_another_number_is_another_page():
    rows = read_plain(published.KEPT)
    rows[0] = rows[0] | {"value": 0.5, "verdict": "holds"}
    assert "| **holds** | 0.5 (0.882 to 1.06) |" in published.brief(rows)
