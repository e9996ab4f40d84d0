"""`spectrum preset`: writes a preset whole, and an edited params.yaml is never lost."""

import re

import pytest

from tokenspectrum.cli import preset
from tokenspectrum.errors import UserError
from tokenspectrum.params.root import load_params
from tokenspectrum.params.yaml_file import load_yaml

MINE = {"preset": "mine", "bases": [1], "replicates": [{"seed": 7, "base": 1}]}


@pytest.fixture
def folder(project):
    (project / "presets" / "mine.yaml").write_text(
        "# Mine.\nextends: tiny\npreset: mine\nreplicates: [{seed: 7, base: 1}]\nbases: [1]\n"
    )
    return project


def test_a_preset_of_ones_own_is_written_whole(folder):
    assert preset.choose("mine", force=False) == "params.yaml is now preset mine"
    text = (folder / "params.yaml").read_text()
    assert text.startswith("# Mine.\n")
    assert load_yaml(folder / "params.yaml") == load_yaml_of("tiny") | MINE
    assert load_params().seeds == (7,)


def load_yaml_of(name):
    return preset.read_preset(name).data


def test_switches_between_presets_without_force_or_backup(folder):
    preset.choose("tiny", force=False)
    preset.choose("mine", force=False)
    assert preset.choose("mine", force=False) == "params.yaml is preset mine already"
    # The preset is edited, params.yaml is not: nothing would be lost.
    (folder / "presets" / "mine.yaml").write_text("extends: tiny\nreplicates: [{seed: 8, base: 1}]\nbases: [1]\n")
    preset.choose("mine", force=False)
    assert load_params().seeds == (8,)
    assert not (folder / "backups").exists()


def test_an_edited_file_needs_force_and_is_backed_up(folder):
    preset.choose("tiny", force=False)
    text = (folder / "params.yaml").read_text()
    for edit in (text.replace("steps: 40", "steps: 41"), "first", "second", "first", ""):
        (folder / "params.yaml").write_text(edit)
        with pytest.raises(UserError, match="--force"):
            preset.choose("tiny", force=False)
        assert (folder / "params.yaml").read_text() == edit
        preset.choose("tiny", force=True)
        assert edit in {path.read_text() for path in (folder / "backups").iterdir()}
    # Nothing in the root, and nothing twice.
    assert len(list((folder / "backups").iterdir())) == 4
    assert [path.name for path in folder.glob("params*")] == ["params.yaml"]


def test_backups_do_not_pile_up(folder):
    for i in range(preset.KEPT + 5):
        (folder / "params.yaml").write_text(str(i))
        preset.choose("tiny", force=True)
    kept = {path.read_text() for path in (folder / "backups").iterdir()}
    assert kept == {str(i) for i in range(5, preset.KEPT + 5)}


def test_a_field_is_set_on_the_way(folder):
    preset.choose("tiny", False, ["train.steps=3", "analysis.table1.collapse.window=1", "train.keep_steps=[1, 2]"])
    params = load_params()
    assert (params.train.steps, params.train.keep_steps) == (3, (1, 2))
    assert "--set train.steps=3" in (folder / "params.yaml").read_text()
    assert not preset.is_edited((folder / "params.yaml").read_text())


def test_a_value_with_blanks_is_there_again_when_the_file_is_made_anew(folder):
    place = "/" + "a long/place " * 12
    preset.choose("tiny", False, [f"prompts.folder={place}"])
    before = (folder / "params.yaml").read_bytes()
    assert str(load_params().prompts.folder) == place.strip()
    assert preset.again() == "params.yaml is preset tiny already"
    assert (folder / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.step=3", "train.step: unknown key; did you mean steps?"),
        ("train.steps", "write FIELD=VALUE"),
        ("train.steps=", "train.steps: must be a whole number (got null)"),
        ("train.steps=many", 'train.steps: must be a whole number (got "many")'),
        ("train.steps=010", "--set train.steps line 1: '010' without quotes is read in two ways"),
        ("train.steps=[", "--set train.steps line 2: not valid YAML"),
        ("train.steps.x=1", "train.steps: must be a whole number"),
    ],
)
def test_a_wrong_setting_is_one_line(folder, setting, said):
    with pytest.raises(UserError) as e:
        preset.choose("tiny", False, [setting])
    assert said in str(e.value)
    assert "\n" not in str(e.value)
    assert not (folder / "params.yaml").exists()


def test_the_list_says_what_each_is_and_which_is_at_hand(folder, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    mine = folder / "presets" / "mine.yaml"
    mine.write_text(mine.read_text().replace("# Mine.", "# Mine?  Or\n# yours."))
    preset.choose("mine", force=False)
    preset.show()
    said = capsys.readouterr().out
    assert re.findall(r"^ *\* +(.*?) *$", said, re.MULTILINE) == ["mine    Mine?"]
    for name in set(preset.names()) - {"mine"}:
        assert re.search(rf"^ {{4}}{re.escape(name)} +\w", said, re.MULTILINE), name


def test_unknown_preset_lists_those_at_hand(folder):
    with pytest.raises(UserError, match="did you mean mine\\?; there are mine, tiny"):
        preset.choose("mines", force=False)
    assert not (folder / "params.yaml").exists()
