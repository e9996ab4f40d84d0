"""The cloud of all tokens in a real browser: brushes, histograms, clicks."""

import numpy as np
from view_kit import (
    CLOUD,
    KEYS,
    ROWS,
    attention_columns,
    token_columns,
    until,
    wait_count,
)

from tokenspectrum.view.bins import Scale, to_bins


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
