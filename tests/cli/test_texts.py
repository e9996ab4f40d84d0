"""Words of the user's own on the terminal: they are text, not the terminal library's markup."""

from dataclasses import replace

from tokenspectrum.cli.main import main
from tokenspectrum.cli.preset import choose
from tokenspectrum.results import discover


def test_a_question_of_ones_own_is_shown_as_it_is(project, monkeypatch, capsys):
    choose("tiny", force=True)
    monkeypatch.setenv("COLUMNS", "300")
    own = replace(discover.results()["scatter"], question="Does [mask] or :100: help? [/b]")
    monkeypatch.setattr(discover, "results", lambda: {"own": own})
    main(["results"])
    assert "Does [mask] or :100: help? [/b]" in capsys.readouterr().out
