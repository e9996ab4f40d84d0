"""The page around the strip in a real browser: list, compare, cloud, links, themes, phone, live steps, export."""

import itertools
import json
import time

import numpy as np
import pytest
from view_kit import (
    KEYS,
    LENGTHS,
    VOCAB,
    attention_columns,
    ready_store,
    served,
    token_columns,
    write_preset,
    write_tables,
)

from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.tokenlog.writer import write_file, write_manifest
from tokenspectrum.view.bins import Scale, to_bins
from tokenspectrum.view.export import Wanted, export
from tokenspectrum.view.sealed import checked

ROWS = "#list .row"


def until(page, condition: str) -> None:
    """Waits for a JavaScript condition.  Playwright's own way evaluates text, which the page's policy forbids."""
    deadline = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"never came: {condition}"
        time.sleep(0.03)


def wait_count(page, n: int) -> None:
    until(page, f"document.getElementById('count').textContent.startsWith('{n} responses')")


def chosen(page) -> str:
    return page.locator(".pane").first.get_attribute("data-key")


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


def test_the_comparison_says_how_many_responses_it_leaves_out(open_page, store, monkeypatch):
    page = open_page("sel=full/1/1/3")
    assert page.locator("#same-left-out").count() == 0
    short = checked(("same_prompt.sql",)).replace("LIMIT 5000", "LIMIT 4")
    monkeypatch.setattr(
        "tokenspectrum.view.strip.checked", lambda parts: short if "same" in parts[0] else checked(parts)
    )
    page = open_page("sel=full/1/1/3&cmp=full/2/2/3")
    line = page.locator("#same-left-out").text_content()
    assert line.startswith("4 of 15 responses to it are offered")
    page.wait_for_selector(".panes.two")
    assert page.locator("#compare option:checked").text_content() == "full · seed 2 · step 2 · #3"


@pytest.mark.parametrize(
    "view",
    ["theme=xyz", "pane=xyz", "p=xyz", "brush=xyz", "token=xyz&rows=xyz", "marks=xyz&by=xyz", "layer=xyz&diff=x"],
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


def test_two_steps_of_one_prompt_stand_side_by_side(open_page):
    page = open_page("sel=full/1/1/3")
    page.locator("#compare").select_option("full/1/2/3")
    page.wait_for_selector(".panes.two")
    assert [pane.get_attribute("data-key") for pane in page.locator(".pane").all()] == ["full/1/1/3", "full/1/2/3"]
    left, right = (box.bounding_box() for box in page.locator(".pane").all())
    assert right["x"] > left["x"] + 100
    assert abs(left["y"] - right["y"]) < 2
    offered = page.locator("#compare optgroup").evaluate_all("groups => groups.map(group => group.label)")
    assert {"base, seed 0, step 0", "full, seed 2, step 1"} <= set(offered)


def test_the_same_response_at_two_steps_is_aligned_and_its_difference_painted(open_page, store):
    # The first response of every step has the same tokens, under other values.
    page = open_page("sel=full/1/1/0&cmp=full/1/2/0&diff=1&colour=tokens.logprob")
    page.wait_for_selector(".panes.two")
    n = LENGTHS[0]
    assert page.locator("#aligned").text_content() == f"{n} of {n} and {n} tokens are the same"
    a, b = (token_columns(np.random.default_rng([1, step]))["logprob"][:n].astype(np.float32) for step in (1, 2))
    scale = store.scale("tokens.logprob")
    reach = (scale["high"] - scale["low"]) / 2
    wanted = page.evaluate(
        """async (shares) => {
            const { css, rampAt } = await import("./colour.js");
            return shares.map((t) => css(rampAt("sided", t)).replaceAll(" ", ", "));
        }""",
        [float((d + reach) / (2 * reach)) for d in b - a],
    )
    for pane in page.locator(".pane").all():
        got = pane.locator(".tok").evaluate_all("tokens => tokens.map(token => token.style.backgroundColor)")
        assert got == wanted
    assert page.locator("#legend").text_content().startswith("difference of logprob")
    page.locator(".pane").nth(1).locator(".tok").nth(4).hover()
    assert page.locator(".pane").first.locator(".tok.pointed").get_attribute("data-i") == "4"


def test_alignment_is_a_longest_common_subsequence(open_page):
    page = open_page()
    rng = np.random.default_rng(0)
    for _ in range(30):
        a, b = (rng.integers(0, 4, rng.integers(0, 25)).tolist() for _ in range(2))
        partner = page.evaluate(
            """async ([a, b]) => {
                const { align } = await import("./align.js");
                return Array.from(align(Int32Array.from(a), Int32Array.from(b)).partner);
            }""",
            [a, b],
        )
        pairs = [(i, j) for i, j in enumerate(partner) if j >= 0]
        assert all(a[i] == b[j] for i, j in pairs)
        assert all(i < k and j < m for (i, j), (k, m) in itertools.pairwise(pairs))
        table = np.zeros((len(a) + 1, len(b) + 1), int)
        for i in range(len(a)):
            for j in range(len(b)):
                table[i + 1, j + 1] = table[i, j] + 1 if a[i] == b[j] else max(table[i, j + 1], table[i + 1, j])
        # Equal ends are paired first, which never costs a pair.
        assert len(pairs) == table[-1, -1]


def test_long_responses_that_differ_much_are_aligned_and_the_page_says_where_it_gives_up(open_page):
    page = open_page()
    words, least, gave_up = page.evaluate("""async () => {
        const { align, alignedWords } = await import("./align.js");
        const every = (n, f) => Int32Array.from({ length: n }, (_, i) => f(i));
        const second = (n, of) => every(n, (i) => (i % 2 ? of + i : 7));
        const words = (a, b) => alignedWords(align(a, b), b.length);
        const times = [0, 1, 2].map(() => {
            const start = performance.now();
            align(every(4000, (i) => (i * i) % 211), every(4000, (i) => (i * i * i) % 211));
            return performance.now() - start;
        });
        const n = 40000;
        const long = words(every(n, (i) => (i ? i % 9 : 99)), every(n, (i) => (i ? 20 + (i % 9) : 99)));
        return [words(second(1200, 1000), second(1200, 5000)), Math.min(...times), long];
    }""")
    assert words == "600 of 1200 and 1200 tokens are the same"
    assert least < 1000  # ms
    assert gave_up.startswith(
        "too long to align: of 40000 and 40000 tokens, the 1 that both share at their start and end"
    )


def all_tokens() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Of every token of the preset: its response, its predictive entropy and its attention entropy at layer 1."""
    names, x, y = [], [], []
    for run, seed, step in KEYS:
        rng = np.random.default_rng([seed, step])
        tokens = token_columns(rng)
        layers = (0, 1) if run == "base" else (1,)
        attention = attention_columns(rng, tokens, layers)
        names += [f"{run}/{seed}/{step}/{r}" for r in tokens["response_id"]]
        x.append(tokens["predictive_entropy"])
        y.append(attention["entropy_norm"][-len(tokens["position"]) :])
    return names, np.concatenate(x).astype(np.float32), np.concatenate(y).astype(np.float32)


CLOUD = "x=tokens.predictive_entropy&y=attention.entropy_norm.1"


def drag(page, x0: float, y0: float, x1: float, y1: float) -> None:
    """Drag over the density, in shares of its width and height; y goes up."""
    page.wait_for_selector("#density")
    until(page, "document.getElementById('axis').textContent.includes('tokens')")
    box = page.locator("#density").bounding_box()
    plot, side = box["width"] * 256 / 300, box["height"] * 44 / 300
    page.locator("#density").scroll_into_view_if_needed()
    box = page.locator("#density").bounding_box()
    page.mouse.move(box["x"] + x0 * plot, box["y"] + side + (1 - y0) * plot)
    page.mouse.down()
    page.mouse.move(box["x"] + x1 * plot, box["y"] + side + (1 - y1) * plot, steps=3)
    page.mouse.up()


def test_a_brush_on_the_cloud_filters_the_list_and_the_strip(open_page, store):
    page = open_page(f"sel=base/0/0/3&{CLOUD}", height=1000)
    drag(page, 0.55, 0.55, 0.99, 0.99)
    until(page, "location.hash.includes('brush')")
    x0, x1, y0, y1 = map(int, page.evaluate("new URLSearchParams(location.hash.slice(1)).get('brush')").split(","))
    names, x, y = all_tokens()
    xb = to_bins(x, store.packed.scale(store.column("tokens.predictive_entropy")))
    yb = to_bins(y, store.packed.scale(store.column("attention.entropy_norm.1")))
    inside = (xb >= x0) & (xb <= x1) & (yb >= y0) & (yb <= y1)
    hit = {name for name, is_in in zip(names, inside, strict=True) if is_in}
    assert 0 < len(hit) < 30
    wait_count(page, len(hit))
    first = page.locator(ROWS).first
    in_first = sum(is_in for name, is_in in zip(names, inside, strict=True) if name == first.get_attribute("data-key"))
    assert first.locator("b").text_content() in (f"{in_first} hit · ", f"{in_first} hits · ")
    mine = [i for i, name in enumerate(n for n in names if n == "base/0/0/3")]
    at = names.index("base/0/0/3")
    outside = {i for i in mine if not inside[at + i]}
    shown = page.eval_on_selector_all(".panes .tok.outside", "t => t.map(e => Number(e.dataset.i))")
    assert set(shown) == outside
    page.locator("#unbrush").click()
    wait_count(page, 30)
    assert page.locator(".panes .tok.outside").count() == 0


def test_the_page_bins_as_the_server_does(open_page):
    page = open_page()
    rng = np.random.default_rng(1)
    for low, high in ((0.0, 1.0), (-3.7, 11.3), (8.6e-5, 0.94), (-0.5, 0.5)):
        scale = Scale(low, high)
        edges = low + (high - low) * np.arange(65) / 64
        values = np.concatenate([rng.uniform(low - 1, high + 1, 200), edges]).astype(np.float32)
        got = page.evaluate(
            """async ([scale, values]) => {
                const { binOf } = await import("./colour.js");
                return values.map((value) => binOf(scale, value));
            }""",
            [{"low": low, "high": high}, values.tolist()],
        )
        assert got == to_bins(values, scale).tolist()
    assert to_bins(np.array([np.nan], np.float32), scale).tolist() == [64]


def test_a_brush_on_a_histogram_takes_the_other_column_whole(open_page):
    page = open_page(f"sel=base/0/0/3&{CLOUD}", height=1000)
    drag(page, 0.5, 1.05, 0.99, 1.05)  # above the density: the histogram across
    until(page, "location.hash.includes('brush')")
    brush = page.evaluate("new URLSearchParams(location.hash.slice(1)).get('brush')").split(",")
    assert brush[2:] == ["0", "63"]
    page.locator("#brush-line input").first.fill("99")  # ends can be typed, too
    page.locator("#brush-line input").first.blur()
    until(page, "new URLSearchParams(location.hash.slice(1)).get('brush').startsWith('63,')")


def test_a_filter_elsewhere_changes_the_cloud(open_page):
    page = open_page(CLOUD)
    until(page, "document.getElementById('axis').textContent.includes(' 515 tokens')")
    page.locator(".chip[data-name=run]", has_text="base").click()
    until(page, "document.getElementById('axis').textContent.includes(' 103 tokens')")


def test_a_click_in_the_cloud_takes_the_nearest_token_of_the_response(open_page):
    page = open_page(f"sel=base/0/0/1&{CLOUD}", height=1000)  # one token
    until(page, "document.getElementById('axis').textContent.includes('tokens')")
    at = page.evaluate("""async () => {
        const { mainPane } = await import("./reader.js");
        const { scaleOf } = await import("./scales.js");
        const { binOf } = await import("./colour.js");
        const values = mainPane().response.values;
        return ["tokens.predictive_entropy", "attention.entropy_norm.1"].map((c) => binOf(scaleOf(c), values[c][0]));
    }""")
    page.locator("#density").scroll_into_view_if_needed()
    box = page.locator("#density").bounding_box()
    unit = box["width"] / 300
    page.mouse.click(box["x"] + (at[0] + 0.5) * 4 * unit, box["y"] + (300 - (at[1] + 0.5) * 4) * unit)
    page.wait_for_selector(".panes .tok.current[data-i='0']")


def test_a_link_holds_the_whole_view(open_page):
    view = (
        f"run=full&correct=yes&sort=length&down=1&sel=full/1/2/0&cmp=full/1/1/0&diff=1&token=3&p=0.35&{CLOUD}"
        "&marks=forks&colour=tokens.logprob&bar=attention.entropy_raw.1&by=attention.entropy_raw.1&brush=0,40,0,63"
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


def test_a_new_step_appears_while_a_run_trains(open_page, tmp_path):
    artifacts = write_preset(tmp_path / "small")
    outputs = tmp_path / ".ckpt" / "train@x-1" / "key" / "outputs" / "tokenlog"
    for step in (1, 2):
        write_tables(outputs, ("x", 1, step), (1,))
    store = ready_store(artifacts, tmp_path / ".ckpt")
    with served(store) as at:
        page = open_page("sel=base/0/0/3", at=at)
        wait_count(page, 42)
        assert "x seed 1 at step 2 training" in page.locator("#live").text_content()
        write_tables(outputs, ("x", 1, 3), (1,))
        store.refresh()
        wait_count(page, 48)
        assert "at step 3" in page.locator("#live").text_content()
        assert chosen(page) == "base/0/0/3"


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
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("#notices p")
    assert "no longer answers" in page.locator("#notices").text_content()
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
