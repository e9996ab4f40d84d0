"""What one line says: outputs of another setting are put away, and a dvc.lock that somebody else changed is named."""

import shutil
from pathlib import Path

import pytest
from bridge_kit import new_toy, pretend

from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.remote import FolderRemote
from snakedvc.dvcfiles.store import Store
from snakedvc.planning.driver import Driver
from snakedvc.planning.mixed import put_away
from snakedvc.running.inputs import current_record

TABLE = Path("results/table.csv")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return new_toy(tmp_path_factory.mktemp("mixed") / "toy").root


@pytest.fixture
def toy(made, tmp_path, monkeypatch) -> Path:
    root = tmp_path / "toy"
    shutil.copytree(made, root, symlinks=True)
    monkeypatch.chdir(root)
    pretend()
    return root


def edit(old: str, new: str, file: str = "params.yaml") -> None:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))


def driver(*, write: bool = True) -> Driver:
    return Driver(load_pipeline(), write, lambda stage: False, lambda stage: True)


def test_results_of_another_preset_are_put_away_and_come_back(toy, capsys):
    bytes_before = TABLE.read_bytes()
    edit("preset: t", "preset: u")
    driver()
    assert not TABLE.exists()
    assert (
        "put away, since they are of other inputs than the present ones: results/table.csv" in capsys.readouterr().err
    )
    edit("preset: u", "preset: t")
    assert driver().settle("table")
    assert TABLE.read_bytes() == bytes_before
    driver()
    assert "put away" not in capsys.readouterr().err


@pytest.mark.parametrize("change", [("rate: 1e-3", "rate: 1e-2"), ("methods: [full, anchor]", "methods: [full]")])
def test_results_of_the_same_preset_stay_until_they_are_made_again(toy, change):
    edit(*change)
    assert put_away(load_pipeline(), Store()) == []


def test_what_was_edited_or_is_used_or_in_no_cache_stays(toy):
    edit("preset: t", "preset: u")
    assert put_away(load_pipeline(), Store(), reserved={str(TABLE)}) == []
    kept = TABLE.read_bytes()
    TABLE.write_text("edited")
    assert put_away(load_pipeline(), Store()) == []
    TABLE.write_bytes(kept)
    shutil.move(".dvc/cache", "elsewhere")
    assert put_away(load_pipeline(), Store()) == []
    shutil.move("elsewhere", ".dvc/cache")
    assert put_away(load_pipeline(), Store()) == [str(TABLE)]


@pytest.mark.parametrize("known", ["dvc.lock", "nothing"])
def test_a_flipped_run_record_is_named_and_made_again(toy, capsys, known):
    stage = load_pipeline().stage("weights@full")
    key = current_record(load_pipeline(), stage).key
    (path,) = Path(".dvc/cache/runs", key[:2], key).iterdir()
    content = path.read_bytes()
    at = content.index(b'"md5": "', content.index(b'"outs"')) + len(b'"md5": "')
    for where in (at, content.index(b'"cmd"')):  # a digit of an output's hash, and what is no JSON then
        path.write_bytes(content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :])
        if known == "nothing":
            Path("dvc.lock").unlink(missing_ok=True)
            shutil.rmtree(".dvc/tmp", ignore_errors=True)
        told: list[str] = []
        remote = FolderRemote(Path(".dvc/cache"))
        assert remote.records(key, told.append) == []
        assert told == [path.name]
        said = f"weights@full: run record {path.name[:8]} in the cache is damaged"
        driver(write=False).settle("weights@full")
        assert capsys.readouterr().err.count(f"{said}: a run makes it again\n") == 1
        settled = driver()
        settled.settle("weights@full")
        assert capsys.readouterr().err.count(f"{said}: it is made again\n") == 1
        if known == "nothing":
            assert settled.state("weights@full") == "run"
            pretend()
        assert path.read_bytes() == content
        driver().settle("weights@full")
        assert "damaged" not in capsys.readouterr().err


def test_a_dvc_lock_that_somebody_else_changed_is_named(toy, capsys):
    driver()
    assert "dvc.lock" not in capsys.readouterr().err
    lock = Path("dvc.lock").read_text()
    at = lock.index("md5: ", lock.index("  weights@full:")) + len("md5: ")
    flipped = lock[:at] + ("b" if lock[at] == "a" else "a") + lock[at + 1 :]
    Path("dvc.lock").write_text(flipped)
    driver()
    said = "dvc.lock is not as the last run left it (Git, DVC or damage): weights@full; the cache decides"
    assert said in capsys.readouterr().err
    driver()
    assert "dvc.lock" not in capsys.readouterr().err
