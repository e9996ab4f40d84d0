"""Evaluation samples on the page: wrong answers are found, read with their tokens, and compared with a rollout."""

import base64

import numpy as np
import pytest
from view_kit import HOSTILE, LENGTHS, ready_store, served, wait_count, write_evaluation, write_preset

from tokenspectrum.errors import UserError
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.view.export import Wanted, export
from tokenspectrum.view.filters import Filters
from tokenspectrum.view.strip import strip

FIRST = {"sort": "logged", "down": False, "limit": 50, "offset": 0}
RUN = "full evaluated"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    root = write_preset(tmp_path_factory.mktemp("evaluated") / "small")
    write_evaluation(root)
    return root


def test_they_are_a_run_of_their_own_that_every_filter_works_on(evaluated):
    store = ready_store(evaluated)
    assert store.notices == []
    assert store.responses(Filters(), None, FIRST)["total"] == 33
    assert store.responses(Filters(runs=("full",)), None, FIRST)["total"] == 24
    wrong = store.responses(Filters(runs=(RUN,), correct=False), None, FIRST)
    assert [(row["response_id"], row["sample"], row["n_tokens"]) for row in wrong["rows"]] == [
        (0, 0, 2),
        (1, 0, len(HOSTILE)),
    ]
    assert {row["reward"] for row in wrong["rows"]} == {None}
    assert store.responses(Filters(source="other", runs=(RUN,)), None, FIRST)["total"] == 2


def test_a_sample_has_its_tokens_and_what_the_sampler_said(evaluated):
    store = ready_store(evaluated)
    body = strip(store, (RUN, 1, 2), 1)
    assert set(body["values"]) == {"tokens.rollout_logprob"}
    assert np.frombuffer(base64.b64decode(body["ids"]), "<i4").tolist() == list(range(len(HOSTILE)))
    assert "the sampler's log-probability alone" in body["notes"][0]
    assert {row["run"] for row in body["same"]} == {"base", "full", RUN}
    tokens = store.cloud("tokens.rollout_logprob", "tokens.rollout_logprob", Filters())
    assert sum(tokens["n"]) == 5 * sum(LENGTHS) + 3 + len(HOSTILE)
    brush = store.cloud("tokens.rollout_logprob", "tokens.predictive_entropy", Filters(runs=(RUN,)))
    assert set(brush["y"]) == {64}  # no value


def test_scores_of_other_samples_are_one_line(tmp_path):
    root = write_preset(tmp_path / "small")
    write_evaluation(root)
    write_evaluation(root, seed=2)
    # A file that was copied from elsewhere: its rows are not those of the texts.
    (path,) = root.glob("evaluate/full-s2/scores/run=full/seed=2/step=2/B.parquet")
    (other,) = root.glob("evaluate/full-s2/scores/run=full/seed=2/step=2/A.parquet")
    path.write_bytes(other.read_bytes())
    store = ready_store(root)
    (line,) = store.notices
    assert "evaluated/full-s2" in line
    assert line.endswith("run the evaluate stage again")
    assert store.responses(Filters(), None, FIRST)["total"] == 33
    assert read_file(path).num_rows == 1
    with pytest.raises(UserError, match="no response 1 is shown here"):
        strip(store, (RUN, 2, 2), 1)


def test_a_damaged_file_costs_its_own_samples_alone(tmp_path):
    root = write_preset(tmp_path / "small")
    write_evaluation(root)
    write_evaluation(root, seed=2)
    (path,) = root.glob("evaluated/full-s2/evaluated/run=full/seed=2/step=2/B.parquet")
    path.write_bytes(path.read_bytes()[:-40])
    store = ready_store(root)
    (line,) = store.notices
    assert line.startswith(f"{path}: not a readable Parquet file")
    assert store.responses(Filters(runs=(RUN,)), None, FIRST)["total"] == 3


def test_an_exported_page_takes_no_reward_for_no_number(browser, evaluated, tmp_path):
    path = tmp_path / "page.html"
    assert export(ready_store(evaluated), Wanted([RUN, "base"], [], None, "", 50), path) == 9
    context = browser.new_context(offline=True)
    page = context.new_page()
    for ends in ("reward_from=-99", "reward_to=99", "reward_from=-99&reward_to=99"):
        page.goto(f"file://{path}#{ends}")
        page.reload()
        wait_count(page, len(LENGTHS))  # as `spectrum view` has it
    context.close()


def test_a_wrong_answer_is_read_in_the_browser(open_page, evaluated):
    with served(ready_store(evaluated)) as address:
        page = open_page("run=full+evaluated&sel=full+evaluated/1/2/1&colour=tokens.rollout_logprob", at=address)
        assert page.locator(".pane .verdict").text_content() == "✗ wrong"
        assert page.locator(".pane .strip .tok").count() == len(HOSTILE)
        facts = page.locator(".pane .facts").text_content()
        assert "<b>7</b>" in facts
        assert "reward" not in facts
        assert page.locator("#list .row").count() == 3
        page.locator(".pane .strip .tok").nth(2).hover()
        assert "0.2000" in page.locator("[data-column='tokens.rollout_logprob']").text_content()
        assert page.evaluate("window.hacked") is None
        page.close()  # it would ask on when the server is gone
