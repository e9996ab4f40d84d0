"""Two responses side by side in a real browser: what is offered, aligned and painted."""

import itertools

import numpy as np
import pytest
from view_kit import LENGTHS, ready_store, served, token_columns, until, write_preset

from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.tokenlog.writer import write_file, write_manifest
from tokenspectrum.view.sealed import checked


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


@pytest.fixture
def shifted(tmp_path):
    """A server where full/1/2/5 is full/1/1/5 with another token before it and without the seventh: no token twice."""
    artifacts = write_preset(tmp_path / "small")
    root = artifacts / "train" / "full-s1" / "tokenlog"
    start, n = sum(LENGTHS[:5]), LENGTHS[5]
    for step, ids in ((1, list(range(n))), (2, [n, *range(7), *range(8, n)])):
        path = root / f"tokens/run=full/seed=1/step={step}/part-0.parquet"
        columns = read_file(path).to_pydict()
        columns["token_id"][start : start + n] = ids
        write_file(path, TABLES["tokens"], columns)
    write_manifest(root)
    with served(ready_store(artifacts)) as at:
        yield at


@pytest.mark.parametrize(("token", "partner"), [(0, 1), (6, 7), (7, None), (8, 8), (29, 29)])
def test_the_chosen_token_is_ringed_with_its_partner(open_page, shifted, token, partner):
    rings = """[...document.querySelectorAll('.pane')].map(
        (pane) => [...pane.querySelectorAll('.tok.current')].map((token) => Number(token.dataset.i)))"""
    wanted = [[token], [] if partner is None else [partner]]
    page = open_page(f"sel=full/1/1/5&cmp=full/1/2/5&token={token}", at=shifted)
    page.wait_for_selector(".panes.two .tok.current")
    assert page.evaluate(rings) == wanted
    for key in ("ArrowLeft", "ArrowRight") if token else ("ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate(rings) == wanted
    page.keyboard.press("t")  # painted anew
    assert page.evaluate(rings) == wanted
    page.keyboard.press("Escape")
    until(page, f"JSON.stringify({rings}) === '[[],[]]'")
    page.close()  # it would ask on when the server is gone


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
