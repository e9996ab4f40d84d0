"""The end of a run: the main table, where the results lie, what to look at next."""

from pathlib import Path

import pytest

from tokenspectrum.cli.ended import say_what_was_made

CSV = (
    "row,method,replicates,easy (stand-in),Avg,n,bases,std,against,difference,bases_above,preset,policy\n"
    "base policy,base,all,12.3456,12.3456,3,3,1.5,full,-3.21,1,tiny,tiny\n"
    "full [all],full,all,15.5,15.5,3,3,,,,,tiny,tiny\n"
)


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    Path("results/table1.csv").write_text(CSV)
    Path("results/curves.png").write_text("")

    def say(*asked: str) -> str:
        say_what_was_made(asked)
        return capsys.readouterr().out

    return say


def test_the_table_where_it_lies_and_what_is_next(said):
    text = said("results/table1.csv", "results/curves.png", "results/gone.csv", "artifacts/tiny/policy/1")
    assert "preset tiny, policy tiny: mean accuracy, percent" in text
    (row,) = [line.split() for line in text.splitlines() if line.strip().startswith("base policy")]
    assert row == ["base", "policy", "12.3", "12.3", "1.5", "3", "-3.2", "1", "of", "3"]
    assert "full [all]" in text
    assert "made: results/table1.csv, results/curves.png\n" in text
    assert "results/table1.md has the tests" in text
    assert "spectrum view" in text


def test_other_results_have_no_table_and_other_targets_no_word(said):
    text = said("results/curves.png")
    assert text.startswith("made: results/curves.png\n")
    assert "base policy" not in text
    assert said("artifacts/tiny/policy/1") == ""
