"""The page around the strip in a real browser: list, links, themes, phone, live steps, export."""

import json
import re

import numpy as np
import pytest
from view_kit import (
    CLOUD,
    LENGTHS,
    ROWS,
    VOCAB,
    chosen,
    ready_store,
    served,
    until,
    wait_count,
    write_preset,
    write_tables,
)

from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.tokenlog.writer import write_file, write_manifest
from tokenspectrum.view.export import Wanted, export


def test_the_list_counts_filters_and_sorts(open_page):
    page = open_page()
    wait_count(page, 30)
    assert "515 tokens" in page.locator("#count").text_content()
    page.locator(".chip[data-name=run]", has_text="full").click()
    wait_count(page, 24)
    page.locator(".chip[data-name=seed]", has_text="2").click()
    wait_count(page, 12)
    page.locator("input[name=step_from]").fill("2")
    wait_count(page, 6)
    page.locator("select[name=correct]").select_option("yes")
    wait_count(page, 3)
    page.locator("input[name=reward_to]").fill("0.7")
    wait_count(page, 1)
    page.locator("#clear").click()
    wait_count(page, 30)
    page.locator("#search").fill("BOXED{3}")
    wait_count(page, 5)
    page.locator("#search").fill("")
    page.locator("input[name=length_from]").fill("30")
    wait_count(page, 10)
    page.locator("select[name=source]").select_option("small")
    wait_count(page, 0)
    assert page.locator("#list").text_content() == "No response passes these filters."
    page.locator("#clear").click()
    page.locator("#sort").select_option("length 1")
    until(page, "document.querySelector('#list .figures')?.textContent.startsWith('40 tok')")
    page.locator("#sort").select_option("reward")
    until(page, "document.querySelector('#list .figures')?.textContent.includes('R −1.500')")


def test_the_keys_walk_the_list_and_the_page_follows(open_page):
    page = open_page()
    wait_count(page, 30)
    assert chosen(page) == "base/0/0/0"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(".pane[data-key='base/0/0/2']")
    assert page.locator(f"{ROWS}[aria-selected=true]").get_attribute("data-key") == "base/0/0/2"
    page.keyboard.press("ArrowUp")
    page.wait_for_selector(".pane[data-key='base/0/0/1']")
    facts = page.locator(".facts").text_content()
    assert "wrong" in facts
    assert "reward −1.100" in facts
    assert "gold 2" in facts
    page.keyboard.press("/")
    page.keyboard.type("jj")  # in a field, keys are letters
    assert chosen(page) == "base/0/0/1"
    assert page.locator("#search").input_value() == "jj"


def test_the_keys_go_on_from_a_response_far_down_the_list(open_page, tmp_path):
    artifacts = write_preset(tmp_path / "small")
    root = artifacts / "train" / "full-s1" / "tokenlog"
    for step in range(3, 12):
        write_tables(root, ("full", 1, step), (1,))
    write_manifest(root)
    with served(ready_store(artifacts)) as at:
        page = open_page("sel=full/1/11/3", at=at)  # the 70th of 84
        wait_count(page, 84)
        assert page.locator(ROWS).count() == 50
        page.keyboard.press("ArrowDown")
        page.wait_for_selector(".pane[data-key='full/1/11/4']")
        assert page.locator(f"{ROWS}[aria-selected=true]").get_attribute("data-key") == "full/1/11/4"
        page.close()  # it would ask on when the server is gone
        page = open_page("sel=full/1/11/3&sort=step&down=1", at=at)
        wait_count(page, 84)
        page.keyboard.press("ArrowUp")
        page.wait_for_selector(".pane[data-key='full/1/11/2']")
        page.close()
        page = open_page("sel=full/1/11/3&run=base", at=at)  # left out by the filter
        wait_count(page, 6)
        page.keyboard.press("ArrowDown")
        page.wait_for_selector(".pane[data-key='base/0/0/0']")
        page.close()


@pytest.mark.parametrize(
    "view",
    [
        "theme=xyz",
        "pane=xyz",
        "p=xyz",
        "brush=xyz",
        "brush=0,40,0,63",
        "brush=0..1e,..",
        "token=xyz&rows=xyz",
        "marks=xyz&by=xyz",
        "layer=xyz&diff=x",
    ],
)
def test_a_link_with_a_word_that_means_nothing_is_no_mistake(open_page, view):
    page = open_page(f"sel=base/0/0/3&{view}")
    wait_count(page, 30)
    assert page.locator(".pane .tok").count() == LENGTHS[3]
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_the_problem_is_text(open_page):
    page = open_page("sel=base/0/0/0")
    assert page.locator(".problem-text").first.text_content() == "What is <b>1 + 1</b>?"
    assert page.locator(".problem b").count() == 0


def test_a_link_holds_the_whole_view(open_page):
    view = (
        f"run=full&correct=yes&sort=length&down=1&sel=full/1/2/0&cmp=full/1/1/0&diff=1&token=3&p=0.35&{CLOUD}"
        "&marks=forks&colour=tokens.logprob&bar=attention.entropy_raw.1&by=attention.entropy_raw.1&brush=..0.8,.."
    )
    facts = """() => [document.querySelector('#count').textContent, document.querySelector('#list').textContent,
        Array.from(document.querySelectorAll('.panes .tok'), (token) => [token.textContent, [...token.classList].sort(),
            token.style.backgroundColor, token.style.getPropertyValue('--bar')]),
        document.querySelector('#values').textContent, document.querySelector('#legend').textContent,
        document.querySelector('#sort').value]"""
    page = open_page(view)
    for wanted in (".panes.two .bars .tok.current", "#brush-line input", ".row b", ".panes .tok.outside"):
        page.wait_for_selector(wanted, state="attached")
    first = page.evaluate(facts)
    again = open_page(page.evaluate("location.hash.slice(1)"))
    until(
        again,
        f"JSON.stringify(({facts})()) === {json.dumps(json.dumps(first, ensure_ascii=False, separators=(',', ':')))}",
    )
    assert first[5] == "length 1"
    assert again.locator(".panes .forks").count() == 16  # 0.35 of 22, rounded to 8, twice


def test_light_and_dark(open_page):
    page = open_page(scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.keyboard.press("t")
    light = page.evaluate(paper)
    assert sum(map(int, dark[4:-1].split(","))) < 120 < 600 < sum(map(int, light[4:-1].split(",")))
    assert "theme=light" in page.evaluate("location.hash")


@pytest.mark.parametrize("pane", ["list", "read", "values"])
def test_a_phone_reads_without_sideways_scrolling(open_page, pane):
    page = open_page(f"sel=base/0/0/3&pane={pane}", width=360, height=740)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    seen = {
        name: page.locator(f"#{id}").is_visible()
        for name, id in (("list", "side"), ("read", "read"), ("values", "aside"))
    }
    assert seen == {name: name == pane for name in seen}
    if pane == "list":
        page.locator(ROWS).nth(2).click()
        assert page.locator("#read").is_visible()


@pytest.fixture
def training(tmp_path):
    """A store and its address, beside the folder that run x writes its steps into; two are whole."""
    outputs = tmp_path / ".ckpt" / "train@x-1" / "key" / "outputs" / "tokenlog"
    for step in (1, 2):
        write_tables(outputs, ("x", 1, step), (1,))
    store = ready_store(write_preset(tmp_path / "small"), tmp_path / ".ckpt")
    with served(store) as at:
        yield store, at, outputs


def grow(page, store, outputs, step: int, run: str = "x") -> None:
    """Another step, which the page shows."""
    write_tables(outputs, (run, 1, step), (1,))
    store.refresh()
    until(page, f"document.getElementById('live').textContent.includes('{run} seed 1 at step {step}')")


def test_a_new_step_appears_while_a_run_trains(open_page, training):
    store, at, outputs = training
    page = open_page("sel=base/0/0/3", at=at)
    wait_count(page, 42)
    assert "x seed 1 at step 2 training" in page.locator("#live").text_content()
    grow(page, store, outputs, 3)
    wait_count(page, 48)
    assert chosen(page) == "base/0/0/3"
    page.close()  # it would ask on when the server is gone


def test_a_new_step_takes_no_field_from_who_types_in_it(open_page, training):
    store, at, outputs = training
    page = open_page(f"sel=base/0/0/3&{CLOUD}&brush=0.4..,..", at=at)
    for step, field in ((3, "#search"), (4, "input[name=reward_from]"), (5, "#brush-line input >> nth=1")):
        page.locator(field).focus()
        page.keyboard.type("0")
        grow(page, store, outputs, step)
        page.keyboard.type(".5")
        assert page.evaluate("document.activeElement.value") == "0.5"
        assert page.locator("#filter-steps").text_content() == f"step (to {step})"
        page.keyboard.press("Enter")
    until(page, "/reward_from=0.5.*text=0.5.*brush=0.4..0.5/.test(location.hash)")

    def begin(run: str) -> None:
        """Another run, which the form and the menus of columns offer."""
        for step in (1, 2):
            write_tables(outputs.parents[3] / f"train@{run}-1" / "key" / "outputs" / "tokenlog", (run, 1, step), (1,))
        store.refresh()
        page.locator(f"#run-{run}").wait_for()

    page.locator("#brush-line input >> nth=1").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("0")
    begin("y")
    page.keyboard.type(".7")
    page.keyboard.press("Enter")
    until(page, "location.hash.includes('brush=0.4..0.7')")
    page.locator("#run-full").focus()
    begin("z")
    assert page.evaluate("document.activeElement.id") == "run-full"
    page.close()  # it would ask on when the server is gone


@pytest.mark.parametrize("run", ["x", "a"])  # the new step is listed behind the reader, and before
def test_a_new_step_leaves_a_deep_list_where_it_is(open_page, training, run):
    store, at, outputs = training
    one = {"x": outputs, "a": outputs.parents[3] / "train@a-1" / "key" / "outputs" / "tokenlog"}[run]
    write_tables(outputs, ("x", 1, 3), (1,), lengths=(23, *(1,) * 699))
    for step in (1, 2) if run == "a" else (4,):
        write_tables(one, (run, 1, step), (1,))
    store.refresh()
    page = open_page("sel=base/0/0/3", at=at)
    n = 742 + (12 if run == "a" else 6)
    wait_count(page, n)
    while page.locator(ROWS).count() < 650:
        before = page.locator(ROWS).count()
        page.evaluate("document.getElementById('list').scrollTop = 1e6")
        until(page, f"document.querySelectorAll('{ROWS}').length > {before}")
    top = """(() => {
        const list = document.getElementById("list").getBoundingClientRect();
        const at = document.elementFromPoint(list.x + 50, list.y + 5).closest(".row");
        return [at.dataset.key, Math.round(at.getBoundingClientRect().y - list.y)];
    })()"""
    page.evaluate("document.getElementById('list').scrollTop = 600 * document.querySelector('.row').offsetHeight + 7")
    place = page.evaluate(top)
    grow(page, store, one, 5 if run == "x" else 3, run)
    wait_count(page, n + 6)
    until(page, f"document.querySelectorAll('{ROWS}').length > 600")
    assert page.evaluate(top) == place
    keys = page.eval_on_selector_all(ROWS, "rows => rows.map(row => row.dataset.key)")
    assert len(keys) == len(set(keys)) >= 650
    page.close()


def test_a_new_steps_responses_are_offered_to_compare_with(open_page, training):
    store, at, outputs = training
    page = open_page("sel=base/0/0/3", at=at)
    page.wait_for_selector(".pane[data-key='base/0/0/3']")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(".pane[data-key='base/0/0/4']")
    page.locator("#compare").focus()
    grow(page, store, outputs, 3)
    page.wait_for_selector("#compare option[value='x/1/3/4']", state="attached")  # of what is shown
    assert page.evaluate("document.activeElement.id") == "compare"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowUp")
    page.wait_for_selector(".pane[data-key='base/0/0/3']")
    assert page.locator("#compare option[value='x/1/3/4']").count() == 1  # and of what was read before
    page.close()


def test_a_step_whose_files_are_replaced_shows_the_new_facts_and_the_new_tokens(open_page, tmp_path):
    artifacts = write_preset(tmp_path / "small")
    store = ready_store(artifacts)
    root = artifacts / "train" / "full-s1" / "tokenlog"
    parts = [root / table / "run=full/seed=1/step=2/part-0.parquet" for table in ("responses", "tokens")]
    responses, tokens = (read_file(path).to_pydict() for path in parts)
    responses["text"][3], responses["reward"][3] = "said otherwise", 0.25
    tokens["token_id"] = [VOCAB.index(" sum")] * len(tokens["token_id"])
    with served(store) as at:
        page = open_page("sel=full/1/2/3", at=at)
        assert "reward −1.300" in page.locator(".facts").text_content()
        for path, table, columns in zip(parts, ("responses", "tokens"), (responses, tokens), strict=True):
            write_file(path, TABLES[table], columns)
        write_manifest(root)
        store.refresh()
        until(page, "document.querySelector('.facts')?.textContent.includes('reward 0.2500')")
        assert set(page.locator(".pane .tok").all_text_contents()) == {"·sum"}
        until(page, "document.querySelector('#list [aria-selected=true] .head')?.textContent === 'said otherwise'")
        assert "R 0.2500" in page.locator("#list [aria-selected=true]").text_content()
        page.close()


def test_a_reward_that_is_no_finite_number_is_shown_as_it_is(open_page, tmp_path):
    artifacts = write_preset(tmp_path / "small")
    (path,) = artifacts.glob("train/full-s1/tokenlog/responses/run=full/seed=1/step=1/*.parquet")
    columns = read_file(path).to_pydict()
    columns["reward"][0], columns["advantage"][0] = np.nan, -np.inf
    write_file(path, TABLES["responses"], columns)
    with served(ready_store(artifacts)) as at:
        page = open_page("run=full&seed=1&step_to=1&sel=full/1/1/0", at=at)
        facts = page.locator(".facts").text_content()
        assert "reward NaN" in facts
        assert "advantage −∞" in facts
        assert "no finite number: reward, advantage" in page.locator(".pane .note").first.text_content()
        assert "R NaN" in page.locator(ROWS).first.text_content()
        assert "no finite number: 1" in page.locator("#notices").text_content()
        page.close()


def test_a_server_that_is_gone_is_one_line(browser, artifacts):
    context = browser.new_context()
    page = context.new_page()
    with served(ready_store(artifacts)) as at:
        page.goto(at)
        page.wait_for_selector(".strip .tok")
        shown = page.locator(".pane .tok").all_text_contents()
    page.keyboard.press("ArrowDown")
    until(page, "import('./reader.js').then((reader) => reader.isBehind())")
    assert "no longer answers" in page.locator("#notices").text_content()
    assert "sel=base/0/0/1" in page.url
    assert page.locator(".pane .tok").all_text_contents() == shown  # what is shown stays
    assert page.locator("#reading .note").count() == 0
    context.close()


ONE = re.compile(r"/api/response\?")


def test_a_server_that_answers_again_gives_what_was_chosen_meanwhile(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}#sel=base/0/0/0")
    page.wait_for_selector(".strip .tok")
    page.route(ONE, lambda route: route.abort())
    page.keyboard.press("ArrowDown")
    until(page, "import('./reader.js').then((reader) => reader.isBehind())")
    assert chosen(page) == "base/0/0/0"
    page.unroute(ONE)
    page.wait_for_selector(".pane[data-key='base/0/0/1']")
    page.goto(f"{address}#sel=base/0/0/99")  # what the server refuses is no gap
    page.wait_for_selector("#reading .note")
    assert "no response 99" in page.locator("#reading .note").text_content()
    context.close()


def test_an_exported_page_works_from_a_folder_without_a_network(browser, store, tmp_path):
    path = tmp_path / "page.html"
    assert export(store, Wanted(["base"], [], None, "prompt-0", 8), path) == 3
    context = browser.new_context(offline=True)
    page = context.new_page()
    requests, trouble = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text))
    page.goto(f"file://{path}#sel=base/0/0/0&cmp=base/0/0/1&marks=anchors,forks&bar=tokens.logprob")
    page.wait_for_selector(".panes.two .strip.bars .tok.anchors")
    assert page.evaluate("window.hacked") is None
    assert page.locator(".pane").first.locator(".tok").first.text_content() == "<script>window.hacked=1</script>"
    page.locator(".pane").first.locator(".tok").nth(3).click()
    page.wait_for_selector(".prompt-strip")
    wait_count(page, 3)
    page.locator("select[name=correct]").select_option("no")
    wait_count(page, 1)
    assert requests == [page.url.split("#")[0]]
    assert not trouble
    context.close()
