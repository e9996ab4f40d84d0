"""The cloud of all tokens in a real browser: brushes, histograms, clicks."""

import math

import numpy as np
from view_kit import (
    CLOUD,
    KEYS,
    LENGTHS,
    ROWS,
    attention_columns,
    ready_store,
    token_columns,
    until,
    wait_count,
    write_preset,
    write_tables,
)

from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.tokenlog.writer import write_file, write_manifest
from tokenspectrum.view.bins import Scale, bins_within, to_bins
from tokenspectrum.view.filters import Brush, Filters


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


AXES = ("tokens.predictive_entropy", "attention.entropy_norm.1")
FIRST = {"sort": "logged", "down": False, "limit": 50, "offset": 0}
BRUSH = "new URLSearchParams(location.hash.slice(1)).get('brush')"


def brush_of(page) -> list[tuple[float, float]]:
    """The values that the view's brush goes from and to, across and up; an open end is infinite."""
    sides = [side.split("..") for side in page.evaluate(BRUSH).split(",")]
    return [(float(low or -math.inf), float(high or math.inf)) for low, high in sides]


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
    (x0, x1), (y0, y1) = brush_of(page)
    names, x, y = all_tokens()
    inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
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
    (x0, _), y_ends = brush_of(page)
    assert 0.5 < x0 < 0.7  # of a scale from 0 to 1.25
    assert y_ends == (-math.inf, math.inf)


def test_the_ends_of_a_brush_can_be_typed_one_after_the_other(open_page):
    page = open_page(f"sel=base/0/0/3&{CLOUD}&brush=0.4..0.8,0.2..", height=1000)
    ends = page.locator("#brush-line input")
    ends.first.wait_for()
    shown = """[...document.querySelectorAll('#brush-line input')].map((input) => input.value)"""
    assert page.evaluate(shown) == ["0.4", "0.8", "0.2", ""]
    for i, typed in enumerate(("0.2", "1.1", "0.1", "0.7")):
        ends.nth(i).click()
        page.keyboard.press("Control+A")
        page.keyboard.type(typed)
        page.keyboard.press("Tab")  # to the next: the line keeps its fields while one of them is typed in
    until(page, f"{BRUSH} === '0.2..1.1,0.1..0.7'")
    names, x, y = all_tokens()
    inside = (x >= 0.2) & (x < 1.1) & (y >= 0.1) & (y < 0.7)
    wait_count(page, len({name for name, is_in in zip(names, inside, strict=True) if is_in}))
    ends.nth(0).fill("9")  # past the other end
    page.keyboard.press("Enter")
    until(page, f"{BRUSH} === '1.1..1.1,0.1..0.7'")
    assert ends.nth(0).input_value() == "1.1"
    ends.nth(0).fill("")
    page.keyboard.press("Enter")
    until(page, f"{BRUSH} === '..1.1,0.1..0.7'")
    page.evaluate(
        "location.hash = location.hash.replace(/brush=[^&]*/, 'brush=0.5..,..')"
    )  # another link, still in the field
    until(page, f'JSON.stringify({shown}) === \'["","","",""]\'')
    ends.nth(3).fill("0.6")
    page.keyboard.press("Enter")
    until(page, f"{BRUSH} === '0.5..,..0.6'")
    page.locator("#unbrush").click()
    page.wait_for_selector("#brush-line .quiet:not(button)")
    assert ends.count() == 0


def test_the_page_takes_the_bins_that_the_server_takes(open_page):
    page = open_page()
    rng = np.random.default_rng(0)
    for low, high in ((0.0, 1.0), (-3.7, 11.3), (8.6e-5, 0.94), (-0.5, 0.5)):
        scale = Scale(low, high)
        edges = (low + (high - low) * np.arange(65) / 64).tolist()
        ends = [sorted(pair) for pair in rng.uniform(low - 1, high + 1, (100, 2)).tolist()]
        ends += [[edges[i], edges[j]] for i in range(0, 64, 7) for j in range(i + 1, 65, 9)]
        ends += [[None, 0.3], [0.3, None], [None, None], [edges[3], edges[3]], [1e300, None], [None, -1e300]]
        got = page.evaluate(
            """async ([scale, ends]) => {
                const { binsWithin } = await import("./brush.js");
                return ends.map(([from, to]) => binsWithin(scale, String(from ?? ""), String(to ?? "")));
            }""",
            [{"low": low, "high": high}, ends],
        )
        assert got == [list(bins_within(*pair, scale)) for pair in ends]
    # From an edge to an edge are the bins between them.
    scale = Scale(-3.7, 11.3)
    edge = [scale.low + (scale.high - scale.low) * i / 64 for i in range(65)]
    assert [bins_within(edge[i], edge[i + 1], scale) for i in range(64)] == [(i, i) for i in range(64)]
    # Around bins is the brush of these bins.
    around = page.evaluate("""async () => {
        const { brushAround, brushBins } = await import("./brush.js");
        const scale = { low: -3.7, high: 11.3 };
        return [[0, 63, 5, 9], [1, 62, 0, 0], [63, 63, 17, 63]].map(
            (bins) => [bins, brushBins(brushAround(bins, scale, scale), scale, scale)]);
    }""")
    assert all(bins == again for bins, again in around)


def test_a_brush_keeps_its_values_when_the_scale_is_made_anew(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    store = ready_store(artifacts)
    root = artifacts / "train" / "full-s1" / "tokenlog"
    of = Brush(*AXES, (0.7, 0.8), (None, None))  # around 0.75, one of the six values that there are
    before = store.responses(Filters(), of, FIRST)
    names, x, _ = all_tokens()
    assert before["total"] == len({name for name, value in zip(names, x, strict=True) if value == 0.75})
    assert sum(row["hits"] for row in before["rows"]) == (x == 0.75).sum()
    for step in range(3, 12):
        write_tables(root, ("full", 1, step), (1,))
        path = root / f"tokens/run=full/seed=1/step={step}/part-0.parquet"
        columns = read_file(path).to_pydict()
        columns["predictive_entropy"] = [20.0] * len(columns["position"])
        write_file(path, TABLES["tokens"], columns)
    write_manifest(root)
    store.refresh()
    assert store.scale(AXES[0])["high"] == 20.0
    assert store.responses(Filters(), of, FIRST)["rows"] == before["rows"]
    high = store.responses(Filters(), Brush(*AXES, (15.0, None), (None, None)), FIRST)
    assert high["total"] == 9 * len(LENGTHS)


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
