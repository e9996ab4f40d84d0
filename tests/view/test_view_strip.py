"""The strip in a real browser: hostile texts, colours, bars, outlines, values and attention rows, by what is shown."""

import re

import numpy as np
import pytest
import torch
from view_kit import HOSTILE, LENGTHS, VOCAB, attention_columns, token_columns

from tokenspectrum.view.filters import Filters
from tokenspectrum.weighting.apply import apply
from tokenspectrum.weighting.batch import TokenBatch
from tokenspectrum.weighting.registry import make_rule

TOKENS = ".panes .tok"
BASE = np.random.default_rng([0, 0])
COLUMNS = token_columns(BASE)
ATTENTION = attention_columns(BASE, COLUMNS, (0, 1))
START = np.cumsum([0, *LENGTHS])


def of_response(values, response: int, layer: int = 0):
    """The part of a base-policy column that is this response's, at this layer where it has several."""
    first = layer * START[-1] + START[response]
    return np.asarray(values)[first : first + LENGTHS[response]]


def colours(page) -> list[str]:
    return page.eval_on_selector_all(TOKENS, "tokens => tokens.map(token => token.style.backgroundColor)")


def marked(page, name: str) -> set[int]:
    return set(page.eval_on_selector_all(f"{TOKENS}.{name}", "tokens => tokens.map(token => Number(token.dataset.i))"))


def test_hostile_texts_are_text(open_page):
    page = open_page("sel=base/0/0/0")
    shown = page.eval_on_selector_all(TOKENS, "tokens => tokens.map(token => token.textContent)")
    assert len(shown) == len(HOSTILE)
    by_text = dict(zip(HOSTILE, shown, strict=True))
    for text in (
        "<script>window.hacked=1</script>",
        "</script>",
        '"',
        "'",
        "&lt;b&gt;",
        "${window.hacked=1}",
        "שלום",
        "😀",
    ):
        assert by_text[text] == text.replace(" ", "·")
    assert by_text["<img src=x onerror=window.hacked=1>"] == "<img·src=x·onerror=window.hacked=1>"
    assert by_text["👨\u200d👩\u200d👧"] == "👨\u200d👩\u200d👧"
    assert by_text["\u0301"] == "◌\u0301"  # a lone mark sits on a circle, not on its neighbour
    assert by_text["\u202e"] == "⟨202E⟩"
    assert by_text["\u2028"] == "⟨2028⟩"
    assert by_text["\x00"] == "⟨0000⟩"
    assert [by_text[text] for text in ("\n", "\n\n", "  ", "\t")] == ["⏎", "⏎⏎", "··", "⇥"]
    assert page.evaluate("window.hacked") is None
    assert page.locator(".panes script, .panes img, #list script, #list img").count() == 0


def test_a_sign_that_cannot_be_seen_shows_its_code_within_a_token_too(open_page):
    page = open_page()
    pictures = ["👨\u200d👩\u200d👧", "❤\ufe0f", "1\ufe0f\u20e3", "🏃🏽\u200d♀\ufe0f", "🏳\ufe0f\u200d🌈"]
    hidden = ["200C", "200D", "FE00", "FE0F", "034F", "E0100", "3164", "115F", "2800", "00AD", "2060", "FFA0"]
    texts = [f"a{chr(int(code, 16))}b" for code in hidden] + pictures
    shown = page.evaluate(
        """async (texts) => {
            const { pieces } = await import("./text.js");
            return texts.map((text) => pieces(text).map(([piece]) => piece).join(""));
        }""",
        texts,
    )
    assert shown == [f"a⟨{code}⟩b" for code in hidden] + pictures


def test_line_breaks_break_the_line_and_a_right_to_left_token_stays_in_its_place(open_page):
    page = open_page("sel=base/0/0/0")
    assert page.locator(".panes .strip br").count() == 3  # \n and \n\n
    boxes = {
        i: page.locator(TOKENS).nth(HOSTILE.index(i)).bounding_box() for i in ("${window.hacked=1}", "שלום", " مرحبا")
    }
    on_one_line = [box["x"] for box in boxes.values() if box["y"] == boxes["שלום"]["y"]]
    assert len(on_one_line) >= 2
    assert on_one_line == sorted(on_one_line)


def test_bytes_of_one_character_are_joined(open_page):
    page = open_page("sel=base/0/0/0")
    tokens = page.locator(TOKENS)
    at = HOSTILE.index("<0xE2><0x88>")
    assert [tokens.nth(at + i).text_content() for i in range(3)] == ["E2 88", "91∑", "FF"]
    assert "part of ∑" in tokens.nth(at).get_attribute("title")
    assert "no character" in tokens.nth(at + 2).get_attribute("title")


def test_equal_values_have_equal_colours_on_one_scale_for_all_responses(open_page):
    seen = {}
    for response in (3, 5):
        page = open_page(f"sel=base/0/0/{response}")
        values = of_response(COLUMNS["predictive_entropy"], response)
        for value, colour in zip(values, colours(page), strict=True):
            assert colour
            assert seen.setdefault(float(value), colour) == colour
    shades = [sum(map(int, re.findall(r"\d+", seen[value]))) for value in sorted(seen)]
    assert shades == sorted(shades, reverse=True)  # darker and darker
    assert len(set(shades)) == len(shades) == 6


def test_the_legend_names_the_column_and_its_ends(open_page, store):
    page = open_page("sel=base/0/0/3&colour=tokens.logprob")
    legend = page.locator("#legend .legend").get_attribute("aria-label")
    scale = store.scale("tokens.logprob")
    assert legend.startswith("logprob: ")
    low, high = (float(v.replace("−", "-")) for v in legend.removeprefix("logprob: ").split(" to "))
    assert low == pytest.approx(scale["low"], rel=1e-3)
    assert high == pytest.approx(scale["high"], rel=1e-3)


def test_by_rank_equal_shares_of_the_tokens_take_equal_steps_of_colour(open_page, store):
    page = open_page("sel=base/0/0/3&colour=tokens.logprob")
    before = colours(page)
    page.locator("#spread").check()
    values = of_response(COLUMNS["logprob"], 3).astype(np.float32)
    every = np.concatenate(
        [
            token_columns(np.random.default_rng([seed, step]))["logprob"]
            for seed, step in ((0, 0), (1, 1), (1, 2), (2, 1), (2, 2))
        ]
    )
    share = np.array([(every < value).mean() for value in values])
    place = page.evaluate(
        """async ([scale, values]) => {
            const { rankPlace } = await import("./colour.js");
            return values.map((value) => rankPlace(scale, value));
        }""",
        [store.scale("tokens.logprob"), values.tolist()],
    )
    np.testing.assert_allclose(place, share, atol=0.03)
    assert colours(page) != before
    wanted = page.evaluate(
        """async (shares) => {
            const { css, rampAt } = await import("./colour.js");
            return shares.map((t) => css(rampAt("value", t)).replaceAll(" ", ", "));
        }""",
        place,
    )
    assert colours(page) == wanted


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ramps_rise_in_lightness_alone_and_the_text_on_them_can_be_read(open_page, scheme):
    page = open_page("sel=base/0/0/3", scheme=scheme)
    ramps = page.evaluate("""async () => {
        const colour = await import("./colour.js");
        const contrast = (rgb) => {
            const l = [colour.luminance(rgb), colour.ink(rgb) === "#ffffff" ? 1 : 0].sort((a, b) => a - b);
            return (l[1] + 0.05) / (l[0] + 0.05);
        };
        const points = Array.from({ length: 101 }, (_, i) => i / 100);
        return Object.fromEntries(["value", "sided", "attention"].map((name) => [name, points.map((t) =>
            [colour.luminance(colour.rampAt(name, t)), contrast(colour.rampAt(name, t))])]));
    }""")
    for name, points in ramps.items():
        luminance = [point[0] for point in points]
        halves = [luminance[:51], luminance[50:][::-1]] if name == "sided" else [luminance]
        for half in halves:
            rising = np.diff(half)
            assert (rising > 0).all() or (rising < 0).all()
        assert min(point[1] for point in points) > 4.5


def test_the_second_column_is_a_bar_as_tall_as_its_value(open_page, store):
    page = open_page("sel=base/0/0/3&bar=attention.distance.1")
    page.wait_for_selector(".strip.bars")
    heights = page.eval_on_selector_all(
        TOKENS, "tokens => tokens.map(t => parseFloat(t.style.getPropertyValue('--bar')))"
    )
    scale = store.scale("attention.distance.1")
    values = of_response(ATTENTION["distance"], 3, layer=1).astype(np.float32)
    expected = np.clip((values - scale["low"]) / (scale["high"] - scale["low"]), 0, 1) * 10
    np.testing.assert_allclose(heights, expected, atol=0.06)


def test_hovering_and_walking_show_every_value(open_page):
    page = open_page("sel=base/0/0/3")
    page.locator(TOKENS).nth(5).hover()
    text = VOCAB[of_response(COLUMNS["token_id"], 3)[5]]
    assert page.locator("#token-text").text_content() == f'"{text}"'.replace("\\", "\\\\")
    shown = {
        row.get_attribute("data-column"): row.locator("td").text_content() for row in page.locator("#values tr").all()
    }
    assert {
        "tokens.logprob",
        "attention.entropy_norm.0",
        "attention.entropy_norm.1",
        "weights.score.anchor20",
    } <= shown.keys()
    assert float(shown["tokens.logprob"].replace("−", "-")) == pytest.approx(
        of_response(COLUMNS["logprob"], 3)[5], rel=1e-3
    )
    distance = of_response(ATTENTION["distance"], 3, layer=1)[5]
    assert float(shown["attention.distance.1"]) == pytest.approx(distance, rel=1e-3)
    page.locator(".problem").hover()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "token 1 of 40" in page.locator("#values").text_content()
    assert marked(page, "current") == {1}


def kept(kind: str, score: str, values: np.ndarray, p: float) -> set[int]:
    """The tokens of one response that this rule of the weighting room keeps."""
    row = {"layer": 1, "alignment": "decision"} if kind in ("anchor", "explorer") else {}
    rule = make_rule(kind=kind, denominator="selected", p=p, score=score, scope="response", entropy_of="old", **row)
    batch = TokenBatch(
        lengths_R=torch.tensor([len(values)]),
        seed=0,
        step=0,
        prompt_ids=["q"],
        samples_R=torch.tensor([0]),
        minibatch_R=torch.tensor([0]),
        scores={score: torch.tensor(values, dtype=torch.float32)},
    )
    return set(torch.nonzero(apply(rule, batch).selected_N).flatten().tolist())


@pytest.mark.parametrize("response", [0, 1, 2, 3, 4])
def test_outlines_are_the_partitions_of_the_weighting_room(open_page, response):
    page = open_page(f"sel=base/0/0/{response}&marks=anchors,explorers,forks&by=attention.entropy_norm.1")
    entropy = of_response(ATTENTION["entropy_norm"], response, layer=1)
    predictive = of_response(COLUMNS["predictive_entropy"], response)
    for p in (0.01, 0.2, 0.3, 0.5):
        page.locator("#p").fill(str(p))
        assert float(page.locator("#p-shown").text_content()) == p
        assert marked(page, "anchors") == kept("anchor", "entropy_norm", entropy, p)
        assert marked(page, "explorers") == kept("explorer", "entropy_norm", entropy, p)
        assert marked(page, "forks") == kept("predictive-high", "predictive_entropy", predictive, p)


def test_outlines_can_be_put_away_and_told_apart_without_colour(open_page):
    page = open_page("sel=base/0/0/3")
    style = page.eval_on_selector_all(
        f"{TOKENS}.anchors, {TOKENS}.explorers", "t => t.map(e => getComputedStyle(e).outlineStyle)"
    )
    assert {"solid", "dashed"} == set(style)
    page.locator("input[value=anchors]").uncheck()
    assert marked(page, "anchors") == set()
    assert marked(page, "explorers")


def test_a_token_whose_row_was_logged_shows_where_it_looked(open_page):
    page = open_page("sel=base/0/0/0")
    before = colours(page)
    assert marked(page, "has-row") == {0, 3}
    page.locator(TOKENS).nth(3).click()
    page.wait_for_selector(".prompt-strip")
    prompt = page.locator(".prompt-strip .tok")
    # The prompt's own tokens, and on each its share: the second has half of the mass.
    assert page.eval_on_selector_all(".prompt-strip .tok", "t => t.map(e => e.title)") == [
        f"attention {share}" for share in ("0.1428", "0.5000", "0.1428", "0.1428")
    ]
    assert prompt.nth(1).text_content() == "the"
    assert page.locator("#prompt-share").text_content() == "92.8 % on the prompt"
    assert marked(page, "unseen") == set(range(3, 23))  # a row of 4 + 3 positions
    page.locator("#row-line .chip", has_text="1").click()
    assert "at layer 1" in page.locator(".row-title").text_content()
    page.keyboard.press("Escape")
    assert colours(page) == before


def test_a_row_that_was_not_logged_says_so_and_names_those_that_were(open_page):
    page = open_page("sel=base/0/0/3")
    page.locator(TOKENS).nth(7).click()
    line = page.locator("#row-line")
    assert "was not logged" in line.text_content()
    assert line.locator(".chip").all_text_contents() == ["0", "3"]
    line.locator(".chip").nth(1).click()
    page.wait_for_selector(".prompt-strip")
    page = open_page("sel=base/0/0/4&token=2")
    assert "nor any of this response" in page.locator("#row-line").text_content()


def test_a_prompt_that_cannot_be_told_is_numbered(open_page):
    page = open_page("sel=full/1/1/3&token=3&rows=3&layer=1")  # prompt-1 has no logged tokens, and no policy is here
    page.wait_for_selector(".prompt-strip")
    assert page.locator(".prompt-strip .tok").all_text_contents() == ["0", "1", "2", "3"]
    assert "its positions are numbered" in page.locator(".above").text_content()


def test_a_column_that_a_response_lacks_is_said_and_hatched(open_page, store):
    page = open_page("sel=full/1/1/3&colour=attention.entropy_norm.0")
    assert "was not logged for this response" in page.locator(".above").text_content()
    assert page.locator(f"{TOKENS}.no-value").count() == 40
    assert store.responses(Filters(), None, {"sort": "logged", "down": False, "limit": 1, "offset": 0})["total"] == 30
