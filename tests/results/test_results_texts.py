"""The results that show texts (strip, maps) against plain loops over the tables."""

from collections import defaultdict
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from results_fixtures import BASES, N_PROMPT, WORDS
from test_results_probe import close, make, parted, probe, table

from tokenspectrum.errors import UserError
from tokenspectrum.results.scatter import result as scatter
from tokenspectrum.results.strip.result import CHARACTERS, caption, wrapped
from tokenspectrum.results.texts import policies, shown


def chosen(rows) -> int:
    """The rule of strip's docstring, said again."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["prompt_id"]].append(row["correct"])
    right = [r for r in rows if r["correct"] and len(set(groups[r["prompt_id"]])) == 2] or rows
    order = sorted(right, key=lambda r: (r["n_tokens"], r["response_id"]))
    return order[(len(order) - 1) // 2]["response_id"]


@pytest.mark.parametrize("p", [0.2, 0.4])
def test_strip_shows_the_response_that_the_rule_chooses(artifacts, params, p):
    params["analysis"]["strip"] = {"p": p, "layer": 1}
    rows = make(artifacts, params, "strip")
    for base in BASES:
        tokens = probe(artifacts, base)
        response = chosen(table(artifacts, "rollouts", base, "responses"))
        own = [row for row in rows if row["base"] == str(base)]
        responses = table(artifacts, "rollouts", base, "responses")
        groups = {row["prompt_id"]: set() for row in responses}
        for row in responses:
            groups[row["prompt_id"]].add(row["correct"])
        assert {row["among"] for row in own} == {"right" if {True, False} in groups.values() else "all"}
        keys = [(response, int(row["position"])) for row in own]
        assert keys == sorted(key for key in tokens if key[0] == response)
        parts = parted(tokens, 1, p)
        for key, row in zip(keys, own, strict=True):
            assert (row["response"], row["token"]) == (str(response), tokens[key]["text"])
            close(row["attention"], tokens[key]["layers"][1]["entropy_norm"])
            close(row["predictive"], tokens[key]["predictive_entropy"])
            part = [name for name in ("anchors", "explorers") if key in parts[name]]
            assert row["part"] == (part[0].removesuffix("s") if part else "neither")


def test_the_chosen_response_is_right_in_a_mixed_group():
    rows = [
        {"response_id": i, "prompt_id": "ab"[i // 4], "correct": c, "n_tokens": n}
        for i, (c, n) in enumerate(zip([1, 1, 1, 1, 1, 0, 1, 1], [5, 1, 1, 1, 9, 4, 8, 7], strict=True))
    ]
    assert chosen(rows) == 6


def test_lines_of_tokens_hold_all_of_them_in_order():
    rows = [{"token": "x" * (i % 7)} for i in range(200)]
    lines = list(wrapped(rows))
    assert [row for line in lines for _, row in line] == rows
    assert len(lines) > 2
    assert all(line[-1][0] + len(shown(line[-1][1]["token"])) <= CHARACTERS for line in lines)
    assert (shown("a b\n"), shown(""), shown("\x07")) == ("a␣b↵", "∅", "\\x07")


def test_the_caption_says_where_no_right_response_could_be_shown():
    given = _Given(SimpleNamespace(tokens=160))
    row = {"layer": 1, "predictive": 0.5}
    some = [row | {"base": 1, "among": "right"}, row | {"base": 2, "among": "all"}]
    words = caption(some, given)
    assert "groups that are not all right (there are none on base 2, so of all there), that of median" in words
    assert "there are none" not in caption(some[:1], given)


@dataclass
class _Given:
    """The options of a result, and the alignment."""

    own: SimpleNamespace

    def __getitem__(self, name: str) -> str:
        return "decision"


def test_maps_are_rows_of_an_anchor_and_an_explorer_of_one_response(artifacts, params):
    params["analysis"]["maps"] = {"layer": 1, "p": 0.3}
    rows = make(artifacts, params, "maps")
    for base in BASES:
        tokens = probe(artifacts, base)
        parts = parted(tokens, 1, 0.3)
        written = {
            (r["response_id"], r["position"]): r["row"] for r in table(artifacts, "attention", base, "attention_rows")
        }
        prompts = {r["prompt_id"]: r["token_ids"] for r in table(artifacts, "rollouts", base, "prompt_tokens")}
        (response,) = {r for r, _ in written if r}
        prompt = next(r for r in table(artifacts, "rollouts", base, "responses") if r["response_id"] == response)
        texts = [WORDS[i] for i in prompts[prompt["prompt_id"]]]
        texts += [tokens[key]["text"] for key in sorted(key for key in tokens if key[0] == response)]
        for part, far in (("anchor", min), ("explorer", max)):
            own = [row for row in rows if (row["base"], row["part"]) == (str(base), part)]
            keys = [key for key in parts[f"{part}s"] if key[0] == response]
            entropies = [tokens[key]["layers"][1]["entropy_norm"] for key in keys]
            key = next(k for k, e in sorted(zip(keys, entropies, strict=True)) if e == far(entropies))
            assert {int(row["position"]) for row in own} == {key[1]}
            assert [int(row["at"]) for row in own] == list(range(N_PROMPT + key[1]))
            assert [row["there"] for row in own] == texts[: N_PROMPT + key[1]]
            for row, weight in zip(own, written[key], strict=True):
                close(row["weight"], float(weight))
            close(own[0]["entropy"], far(entropies))


def test_maps_without_rows_of_both_say_so(artifacts, params):
    params["analysis"]["maps"] = {"layer": 2}
    with pytest.raises(UserError, match=r"base 7: no response has rows .* at layer 2; raise tokens.rows") as e:
        make(artifacts, params, "maps")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("step", [0.0025, 0.0113, 0.17])
def test_bins_find_their_cell_from_rounded_middles(step):
    kept = [i for i in range(40) if i % 7 != 3]
    cell, edges = scatter.cells(np.array([round(0.3117 + step * i, 4) for i in kept]))
    assert cell.tolist() == kept
    assert len(edges) == 41
    assert edges[0] == pytest.approx(0.3117 - step / 2, abs=2e-4)


def test_one_base_policy_is_one():
    assert (policies(1), policies(3)) == ("1 base policy", "3 base policies")


@pytest.mark.parametrize(
    ("r", "ends", "text"),
    [
        (0.3, (0.1, 0.5), "Pearson r = 0.300 (0.100 to 0.500); Spearman r = 0.300 (0.100 to 0.500), resampling"),
        (0.3, (None, None), "Spearman r = 0.300 (one response gives no interval); alignment"),
        (None, (None, None), "Pearson r is undefined, as an entropy is constant; Spearman"),
    ],
)
def test_the_density_is_drawn_also_where_there_is_no_interval_or_no_correlation(r, ends, text):
    empty = dict.fromkeys(scatter.COLUMNS) | {"base": 1, "layer": 1, "tokens": 5, "responses": 1}
    rows = [empty | {"what": w, "r": r, "ci_low": ends[0], "ci_high": ends[1]} for w in ("Pearson", "Spearman")]
    rows += [empty | {"what": "bin", "attention": 0.1 * i, "predictive": 0.2 * i} for i in range(3)]
    (caption,) = scatter.draw(rows, {"tokens.alignment": "decision"}).texts
    assert text in " ".join(caption.get_text().split())
