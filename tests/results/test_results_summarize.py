"""SUMMARIZE describes numbers as text; a reader still sees about four digits, and a program all of them."""

import io

import duckdb
import pytest

from tokenspectrum.results.output import TEXT

QUERY = """SUMMARIZE SELECT * FROM (VALUES
    (0.123456789, 123456789, '0.987654321', TIMESTAMP '2026-01-02 03:04:05.678901'),
    (7.654321987, -5, 'b', NULL)) AS t(real, whole, words, moment)"""


def described(kind: str) -> list[list[str]]:
    out = io.StringIO()
    TEXT[kind](duckdb.execute(QUERY), out)
    return [line.strip("| ").split(" | ") for line in out.getvalue().splitlines()]


def test_numbers_have_four_digits_and_other_types_all_of_their_text():
    head, _, *rows = described("markdown")
    found = {row[0]: dict(zip(head, row, strict=False)) for row in rows}
    assert (found["real"]["min"], found["real"]["max"]) == ("0.1235", "7.654")
    assert found["real"]["avg"] == "3.889"
    assert (found["whole"]["min"], found["whole"]["max"]) == ("-5", "123456789")
    assert found["words"]["min"] == "0.987654321"
    assert found["moment"]["min"] == "2026-01-02 03:04:05.678901"


def test_a_line_a_column_has_them_too():
    assert "min = 0.1235" in "\n".join(" ".join(row) for row in described("line"))


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_program_gets_all_digits(kind):
    assert "0.123456789" in str(described(kind))


def test_a_table_of_the_same_column_names_is_no_summary():
    out = io.StringIO()
    TEXT["markdown"](duckdb.execute("SELECT '0.123456789' AS min, '1.5' AS max"), out)
    assert "0.123456789" in out.getvalue()
