"""YAML as DVC reads it, and one line with file and line for what is refused."""

from itertools import pairwise
from pathlib import Path

import pytest
import ruamel.yaml
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

import snakedvc.yamlfile
from snakedvc.code.freeze import Quoting
from tokenspectrum.errors import UserError
from tokenspectrum.params.yaml_checked import read_yaml
from tokenspectrum.params.yaml_file import Loader, load_yaml

FILE = Path("params.yaml")
LAUGHS = "a: &a [1]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghij"))


@given(st.one_of(st.text("0123456789+-._eExob:yn", min_size=1, max_size=7), st.text(max_size=6)))
def test_what_is_accepted_is_what_dvc_reads(text):
    try:
        ours = read_yaml(FILE, f"a: {text}\n").data
        dvc = YAML(typ="safe").load(f"a: {text}\n")
    except (UserError, ruamel.yaml.error.YAMLError):  # what either refuses is not read as something else
        return
    assert repr(ours) == repr(dict(dvc))


@given(st.text("0123456789+-._eExob", min_size=1, max_size=7))
def test_the_bridge_reads_the_same(text):
    values = []
    for loader in (snakedvc.yamlfile.Loader, Loader):
        try:
            values.append(repr(yaml.load(f"a: {text}\n", loader)))
        except (yaml.YAMLError, ValueError) as e:
            values.append(type(e).__name__)
    assert values[0] == values[1]


TEXT = st.text(st.characters(codec="utf-8"))
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(LEAVES, lambda of: st.lists(of, max_size=3) | st.dictionaries(TEXT, of, max_size=3))


@given(VALUES)
def test_frozen_params_are_read_as_they_were(value):
    text = yaml.dump({"a": value}, Dumper=Quoting, sort_keys=False)
    assert read_yaml(FILE, text).data == yaml.load(text, Loader) == {"a": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 010", "line 1: '010' without quotes is read in two ways (YAML 1.1 and 1.2); write 10, or quote it"),
        ("a: 08", "write 8"),
        ("a: 1_000", "write 1000"),
        ("a: 0o17", "write the plain number"),
        ("a: yes", "write true"),
        ("a: {b: [Off]}", "write false"),
        ("a: 1:30", "quote it"),
        ("a: 2026-11-28", "quote it"),
        ("on: 1", "'on' without quotes"),
        ("7: 1", "the key '7' is not read as text"),
        ("? [a]\n: 1", "a key must be a word"),
        ("a: {lr: 1, x: 2,\n\n lr: 3}", "line 3: 'lr' is given twice, first in line 1"),
        ("a: 1\nb: 2\na: 3\n", "line 3: 'a' is given twice, first in line 1"),
        ("a: &a [*a]", "holds itself"),
        ("a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> theirs\n", "line 2: <<<<<<< is a conflict marker"),
        ("a: [1", "not valid YAML"),
        ("a: 1\n\tb: 2", "line 2: not valid YAML"),
        ("a: !!python/object:os.system {}", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("", "found nothing"),
        ("- 1", "found a list"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: " + "9" * 5000, "not valid YAML"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        (LAUGHS, "more than 1,000,000 values through aliases"),
    ],
)  # fmt: skip
def test_what_is_refused_is_one_line(text, said):
    with pytest.raises(UserError) as e:
        read_yaml(FILE, text)
    assert said in str(e.value)
    assert str(e.value).startswith("params.yaml")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: 1\nb: caf\xe9\n".encode("latin-1"), "line 2: not UTF-8: byte 0xe9; save the file as UTF-8"),
        ("a: 1\n".encode("utf-16"), "line 1: UTF-16; save the file as UTF-8"),
        (None, "no such file; `spectrum preset tiny` writes the default one"),
        ("folder", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, content, said):
    path = tmp_path / "params.yaml"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    for reader in (read_yaml, load_yaml):
        with pytest.raises(UserError) as e:
            reader(path)
        assert said in str(e.value)
        assert "\n" not in str(e.value)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "x.yaml").write_bytes("a: 1\n".encode("utf-8-sig"))
    assert load_yaml(tmp_path / "x.yaml") == read_yaml(tmp_path / "x.yaml").data == {"a": 1}


def test_places_and_comments():
    text = "# Of the file.\n\na: 1  # one\n# above\nb:  # two\n  c: 'x # y'\n  d:\n    - {e: 1}  # six\n"
    places = read_yaml(FILE, text).places
    assert {path: (place.line, place.comment) for path, place in places.items()} == {
        ("a",): (3, "one"),
        ("b",): (5, "above two"),
        ("b", "c"): (6, ""),
        ("b", "d"): (7, ""),
        ("b", "d", 0): (8, "six"),
        ("b", "d", 0, "e"): (8, ""),
    }


@pytest.mark.parametrize("end", ["\r", "\r\n", "\x85", "\u2028"])
def test_every_end_of_a_line_is_one(end):
    text = "# Of the file.\n\na: 1  # one\n# above\nb:  # two\n  c: 3\n"
    document = read_yaml(FILE, text.replace("\n", end))
    assert document.data == {"a": 1, "b": {"c": 3}}
    assert document.places == read_yaml(FILE, text).places


def test_a_merge_is_no_second_key():
    assert read_yaml(FILE, "a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}\n").data["d"] == {"b": 3, "c": 2}
