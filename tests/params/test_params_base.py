"""Params: one clear line for every kind of mistake, and the same numbers that DVC reads."""

import re
from pathlib import Path

import pytest
from pydantic import Field
from ruamel.yaml import YAML

from tokenspectrum.errors import UserError
from tokenspectrum.params.base import PARAMS_ENV, Frozen, read_sections
from tokenspectrum.params.layers import resolve_layer
from tokenspectrum.params.presets import read_preset
from tokenspectrum.params.yaml_file import load_yaml

ROOT = Path(__file__).resolve().parents[2]


class Inner(Frozen):
    lr: float = Field(gt=0)
    names: tuple[str, ...] = ()


class Outer(Frozen):
    inner: Inner
    n: int


def read(tmp_path, monkeypatch, text, **models):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    monkeypatch.setenv(PARAMS_ENV, str(path))
    return read_sections(**models)


def test_reads_what_dvc_reads(tmp_path, monkeypatch):
    text = "s: {inner: {lr: 1e-3, names: [a, b]}, n: 3}\n"
    (section,) = read(tmp_path, monkeypatch, text, s=Outer)
    assert section == Outer(inner=Inner(lr=1e-3, names=("a", "b")), n=3)
    assert section.inner.lr == YAML(typ="safe").load(text)["s"]["inner"]["lr"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s: {inner: {lr: 0.1}, n: 3, m: 1}", "s.m: unknown key"),
        ("s: {inner: {lr: 0.1}, n: three}", "s.n: Input should be a valid integer"),
        ("s: {inner: {lr: 0.1}, n: '3'}", "s.n: Input should be a valid integer"),
        ("s: {inner: {lr: 0.1}, n: true}", "s.n: Input should be a valid integer"),
        ("s: {inner: {lr: -0.1}, n: 3}", "s.inner.lr: Input should be greater than 0"),
        ("s: {n: 3}", "s.inner: Field required"),
        ("t: {}", "s: missing section"),
        ("s: {inner: {lr: [}", "line 1: not valid YAML"),
        ("- s", "expected a mapping"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, text, said):
    with pytest.raises(UserError) as e:
        read(tmp_path, monkeypatch, text, s=Outer)
    line = str(e.value)
    assert said in line
    assert "params.yaml" in line
    assert "\n" not in line


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="spectrum preset"):
        load_yaml(tmp_path / "params.yaml")


def test_params_are_frozen():
    section = Inner(lr=0.1)
    with pytest.raises(Exception, match="frozen"):
        section.lr = 0.2


def test_layer_names_are_those_of_the_paper_on_36_layers():
    assert [resolve_layer(n, 36) for n in ("shallow", "mid", "deep")] == [8, 20, 35]
    assert [resolve_layer(n, 4) for n in ("shallow", "mid", "deep", 1)] == [0, 2, 3, 1]
    assert resolve_layer("deep", 1) == resolve_layer("shallow", 1) == 0


def test_the_page_says_which_layers_the_names_are_of_every_policy_of_a_preset():
    page = (ROOT / "docs/weighting.md").read_text()
    table = re.findall(r"^\| (\d+) \(.*\) \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    said = {int(layers): list(map(int, indices)) for layers, *indices in table}
    assert said.keys() == {
        read_preset(path.stem, ROOT / "presets").params.policy.num_layers for path in ROOT.glob("presets/*.yaml")
    }
    for layers, indices in said.items():
        assert [resolve_layer(name, layers) for name in ("shallow", "mid", "deep")] == indices


@pytest.mark.parametrize("layer", [4, -1, "middle"])
def test_layer_that_the_policy_lacks(layer):
    with pytest.raises(UserError, match="0 to 3"):
        resolve_layer(layer, 4)
