"""Presets: what is inherited, replaced and dropped, and one line with file and line for each mistake."""

from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from tokenspectrum.errors import UserError
from tokenspectrum.params.presets import merge, read_preset
from tokenspectrum.params.render import render, scalar
from tokenspectrum.params.whole import missing
from tokenspectrum.params.yaml_checked import read_yaml
from tokenspectrum.params.yaml_file import load_yaml

SMALL = """\
# The smallest.
methods: [full]  # one
bases: [4]
replicates: [{seed: 1, base: 4}]
prompts:
  train: [{name: a, source: {kind: synthetic, n: 9, seed: 1, k_min: 1, k_max: 2}}]
  benchmarks: [{name: b, source: {kind: synthetic, n: 9, seed: 2, k_min: 1, k_max: 2}}]
policy: {kind: tiny}
rules:
  full: {kind: uniform}
  low: {kind: low2high, s_warm: 7}  # assumption
"""
TWO = "replicates: [{seed: 1, base: 4}, {seed: 2, base: 4}]\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    return tmp_path


def put(folder, text, name="mine"):
    (folder / f"{name}.yaml").write_text(text)
    return read_preset(name, folder)


def test_mappings_are_merged_and_all_else_is_replaced():
    base = {"a": {"b": 1, "c": {"d": 2}}, "e": [1, 2]}
    assert merge(base, {"a": {"c": {"f": 3}}, "e": [4]}) == {"a": {"b": 1, "c": {"d": 2, "f": 3}}, "e": [4]}
    assert merge(base, {"a": None}) == {"a": None, "e": [1, 2]}


def test_another_kind_begins_afresh():
    assert merge({"kind": "x", "p": 1}, {"kind": "y", "q": 2}) == {"kind": "y", "q": 2}
    assert merge({"kind": "x", "p": 1}, {"kind": "x", "q": 2}) == {"kind": "x", "p": 1, "q": 2}
    assert merge({"kind": "x", "p": 1}, {"q": 2}) == {"kind": "x", "p": 1, "q": 2}


def test_a_long_text_of_several_lines_comes_back(folder):
    template = "{% for m in messages %}<|im_start|>" + 'Say: "why\\n"?\n' * 20 + "{{ m['content'] }}\n{% endfor %}"
    policy = {"kind": "hub", "source": "/models/mine", "num_layers": 3, "chat_template": template}
    mine = put(folder, yaml.safe_dump({"extends": "small", "policy": policy}))
    text = render(mine, "")
    for data in (read_yaml(Path("params.yaml"), text).data, yaml.safe_load(text), YAML(typ="safe").load(text)):
        assert data["policy"]["chat_template"] == template


def test_a_preset_is_its_difference_made_whole(folder):
    small = read_preset("small", folder)
    mine = put(folder, f"# Mine.\nextends: small\n{TWO}train: {{steps: 12}}\nrules: {{low: {{tau: auto}}}}\n")
    assert missing(small.data, mine.data) == missing(mine.data, small.data) == []
    assert mine.data["preset"] == "mine"
    assert (mine.data["bases"], mine.params.seeds) == ([4], (1, 2))
    assert mine.data["train"] == small.data["train"] | {"steps": 12}
    assert mine.data["rules"]["low"] == small.data["rules"]["low"] | {"tau": "auto"}
    assert mine.params.rules["low"].s_warm == 7
    assert (mine.about, small.about) == ("Mine.", "The smallest.")


def test_what_is_dropped_is_not_inherited(folder):
    mine = put(folder, "extends: small\ndrop: [rules.low]\n")
    assert list(mine.data["rules"]) == ["full"]
    afresh = put(folder, "extends: small\ndrop: [rules]\nrules: {full: {kind: uniform}}\n")
    assert list(afresh.data["rules"]) == ["full"]


def test_a_chain_of_presets(folder):
    put(folder, "extends: small\ntrain: {steps: 12}\n", "one")
    two = put(folder, "extends: one\ntrain: {mini_batches: 2}\n", "two")
    assert (two.params.train.steps, two.params.train.mini_batches, two.name) == (12, 2, "two")


def test_anchors_hold_within_a_file(folder):
    mine = put(folder, "extends: small\nrules:\n  low: &s {tau: 0.5}\n  high: {<<: *s, kind: high2low}\n")
    assert [mine.params.rules[name].tau for name in ("low", "high")] == [0.5, 0.5]


def test_comments_go_where_their_values_go(folder):
    put(folder, "extends: small\nrules:\n  # taken from the paper\n  low: {s_warm: 8}\n")
    text = render(read_preset("mine", folder), "")
    assert "# taken from the paper" in text
    assert "assumption]" not in text
    assert "methods: [full]  # the methods to train; each is a name in rules [one]" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: smal\n", "extends: preset 'smal': no such preset; did you mean small?"),
        ("extends: mine\n", "extends: mine -> mine is a circle"),
        ("extends: " + "x" * 300 + "\n", "no such preset; there are"),
        ("extends: small\npreset: other\n", "preset: other, but the file is called mine"),
        ("extends: small\ndrop: [rules.lo]\n", "drop: rules.lo is not in the preset that this one extends; did you"),
        ("extends: small\ndrop: rules\n", "drop a list of names"),
        ("extends: [small]\n", "extends is the name of one preset"),
        ("drop: [rules]\n", "there is no `extends`"),
        ("extends: small\n\ntrain: {steps: 0}\n", "mine.yaml line 3: train.steps: must be greater than or equal to 1"),
        ("extends: small\nmethods: [ful]\n", "mine.yaml line 2: methods: ful has no entry in rules; did you mean"),
        ("extends: small\nrules:\n  low: {layer: middle}\n", "mine.yaml line 3: rules.low.layer: must be a whole"),
        ("extends: small\ndrop: [bases]\n", "mine.yaml: bases: missing, and it has no default"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(folder, text, said):
    with pytest.raises(UserError) as e:
        put(folder, text)
    assert said in str(e.value)
    assert "\n" not in str(e.value)


def test_a_mistake_in_what_is_inherited_names_that_file(folder):
    (folder / "small.yaml").write_text(SMALL.replace("s_warm: 7", "s_warm: 0"))
    with pytest.raises(UserError, match=r"small.yaml line 11: rules.low.s_warm: must be greater"):
        put(folder, "extends: small\n")


@pytest.mark.parametrize(
    "value",
    ["yes", "010", "1e3", "1:30", "~", "", " x", "a: b", "a #b", "\n\nx \\box{}", "é", "\x7f", "\u2028", "\U0001f600",
     "=", "<<", "- a", "mid", "random 20 %", "a/b.c", "null", "2026-11-28", 1e-6, -0.5, 1e300, 3, True, None],
)  # fmt: skip
def test_a_scalar_comes_back_as_every_reader_reads_it(value):
    text = f"a: {scalar(value)}\n"
    assert read_yaml(Path("x"), text).data == yaml.safe_load(text) == YAML(typ="safe").load(text) == {"a": value}


def test_the_whole_file_of_a_preset_lacks_nothing(folder, tmp_path):
    preset = read_preset("small", folder)
    (tmp_path / "params.yaml").write_text(render(preset, ""))
    assert load_yaml(tmp_path / "params.yaml") == preset.data
