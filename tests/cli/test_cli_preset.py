"""`spectrum preset`: an edited params.yaml is never lost."""

import pytest

from tokenspectrum.cli import preset
from tokenspectrum.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "presets").mkdir()
    for name in ("tiny", "big"):
        (tmp_path / "presets" / f"{name}.yaml").write_text(f"preset: {name}\n")
    return tmp_path


def test_switches_between_presets_without_force_or_backup(folder):
    preset.choose("tiny", force=False)
    preset.choose("big", force=False)
    assert (folder / "params.yaml").read_text() == "preset: big\n"
    assert sorted(p.name for p in folder.iterdir()) == ["params.yaml", "presets"]


def test_an_edited_file_needs_force_and_is_backed_up_every_time(folder):
    for i, edit in enumerate(("first", "second")):
        (folder / "params.yaml").write_text(edit)
        with pytest.raises(UserError, match="--force"):
            preset.choose("tiny", force=False)
        assert (folder / "params.yaml").read_text() == edit
        preset.choose("tiny", force=True)
        assert (folder / f"params.yaml.bak{i or ''}").read_text() == edit
    assert (folder / "params.yaml.bak").read_text() == "first"


def test_unknown_preset_lists_those_at_hand(folder):
    with pytest.raises(UserError, match="big, tiny"):
        preset.choose("huge", force=False)
    assert not (folder / "params.yaml").exists()
