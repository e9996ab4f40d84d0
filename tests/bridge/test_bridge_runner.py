"""The stage runner alone: what it restores, refuses and freezes."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from bridge_kit import Toy
from runner_kit import start_gated

from snakedvc.running.command import execute

# What is restored


def test_outputs_come_back_and_are_not_links_into_the_cache(toy):
    before = toy.outputs()
    shutil.rmtree(toy.root / "artifacts/t/source")
    toy.run("source")
    assert toy.last() == ("source", "restored")
    assert toy.outputs() == before
    objects = {p: p.read_bytes() for p in toy.objects()}
    (toy.root / "artifacts/t/source/rows.json").write_text("changed in place")
    assert {p: p.read_bytes() for p in toy.objects()} == objects


def damaged(toy: Toy, content: bytes) -> None:
    """Rot the one object with this content."""
    (path,) = [p for p in toy.objects() if p.read_bytes() == content]
    path.chmod(0o644)
    path.write_bytes(b"rotten")


def test_a_rotten_object_is_dropped_and_its_stage_runs_again(toy):
    before = toy.outputs()
    damaged(toy, before["artifacts/t/source/rows.json"])
    done = toy.run("source")
    assert "is damaged and was dropped" in done.stderr
    assert toy.last() == ("source", "ran")
    assert toy.outputs() == before
    toy.run("source")
    assert toy.last() == ("source", "restored")


def test_a_rotten_folder_listing_is_dropped_and_its_stage_runs_again(toy):
    before = toy.outputs()
    for path in toy.objects():
        if path.suffix == ".dir" and b"rows.json" in path.read_bytes():
            path.chmod(0o644)
            path.write_text("[]")
    toy.run("source")
    assert toy.last() == ("source", "ran")
    assert toy.outputs() == before


def test_a_stale_lock_entry_never_looks_valid(toy):
    # No run records, as after a plain `dvc pull`: dvc.lock alone.  It is of steps: 3.
    shutil.rmtree(toy.root / ".dvc/cache/runs")
    toy.run("train@full-1")
    assert toy.last() == ("train@full-1", "restored")
    shutil.rmtree(toy.root / ".dvc/cache/runs")
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    toy.run("train@full-1")
    assert toy.last() == ("train@full-1", "ran")


def test_a_folder_dep_means_the_configured_runs(toy):
    shutil.copytree(toy.root / "artifacts/t/evaluate/full-s1", toy.root / "artifacts/t/evaluate/removed-s9")
    toy.run("table")
    assert toy.last() == ("table", "restored")


# What is refused


def test_an_input_edited_by_hand_is_refused_named_and_made_anew(toy):
    path = "artifacts/t/source/rows.json"
    old = toy.text(path)
    (toy.root / path).write_text("[9, 9]\n")
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    done = toy.run("train@full-1", check=False)
    assert done.returncode == 1
    assert toy.last() == ("train@full-1", "refused")
    assert "refused: artifacts/t/source is not what stage source made (differs in rows.json)" in done.stderr
    assert "Traceback" not in done.stderr
    # The edit is not lost, and Snakemake makes the output anew.
    assert toy.text(".dvc/tmp/altered/0/" + path) == "[9, 9]\n"
    assert toy.make()["source"] == "restored"
    assert toy.text(path) == old


@pytest.mark.parametrize("rows", [4, 5])
def test_a_run_sets_an_edit_of_its_own_output_aside(toy, rows):
    path = "artifacts/t/source/rows.json"
    (toy.root / path).write_text("[9, 9]\n")
    toy.edit("params.yaml", "rows: 4", f"rows: {rows}")
    done = toy.run("source")
    assert toy.last() == ("source", "restored" if rows == 4 else "ran")
    assert (
        "artifacts/t/source is not what stage source made: it is now .dvc/tmp/altered/0/artifacts/t/source"
        in done.stderr
    )
    assert toy.text(".dvc/tmp/altered/0/" + path) == "[9, 9]\n"
    assert toy.text(path) == f"{list(range(rows))}\n"


def test_a_record_from_elsewhere_does_not_condemn_what_was_made_here(toy):
    # A colleague's dvc.lock, from a machine where source came out differently.
    lock = yaml.safe_load(toy.text("dvc.lock"))
    lock["stages"]["source"]["outs"][0]["md5"] = "0" * 32 + ".dir"
    (toy.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    toy.run("train@full-1")
    assert toy.last() == ("train@full-1", "ran")


def test_a_missing_input_is_named_with_what_makes_it(fresh):
    done = fresh.run("weights@full", check=False)
    assert done.returncode == 1
    assert "its input artifacts/t/source is missing: make it with `snakemake artifacts/t/source`" in done.stderr


def test_an_unknown_address_is_one_line(fresh):
    done = fresh.run("train@full-9", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: dvc.yaml: no stage 'train@full-9' under these params; there are source, ")
    assert len(done.stderr.splitlines()) == 1


# Edits while a stage runs


def test_data_that_changes_under_a_stage_is_refused(toy):
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    process, gate = start_gated(toy, "train@full-1")
    (toy.root / "artifacts/t/source/rows.json").write_text("[1]\n")
    gate.touch()
    assert process.wait(300) == 1
    assert toy.last() == ("train@full-1", "refused")
    assert "artifacts/t/source changed while it ran; its outputs are discarded" in process.stderr.read()
    assert not (toy.root / "artifacts/t/train/full-s1/policy").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "why"),
    [
        ("src/toy/dapo.py", "(1 -", "(5 -", "src/toy/dapo.py changed"),
        ("params.yaml", "rate: 1e-2", "rate: 2e-2", "its command or params changed"),
    ],
)
def test_an_edit_while_a_stage_runs_supersedes_and_loses_nothing(toy, file, old, new, why):
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    process, gate = start_gated(toy, "train@full-1")
    toy.edit(file, old, new)
    gate.touch()
    assert process.wait(300) == 3
    assert toy.last() == ("train@full-1", "superseded")
    assert f"superseded: {why} while it ran" in process.stderr.read()
    # Nothing of the old code lies around, and it is not recorded as the present result.
    assert not (toy.root / "artifacts/t/train/full-s1/policy").exists()
    toy.run("train@full-1")
    assert toy.last() == ("train@full-1", "ran")
    edited = toy.text("artifacts/t/train/full-s1/policy/state.json")
    toy.edit(file, new, old)
    toy.run("train@full-1")
    assert toy.last() == ("train@full-1", "restored")
    # The superseded run had computed with the code and params that it started with.
    assert toy.text("artifacts/t/train/full-s1/policy/state.json") != edited
    assert json.loads(toy.text("artifacts/t/train/full-s1/policy/state.json")) == pytest.approx(0.99**3)


def test_an_edit_elsewhere_or_under_systems_does_not_supersede(toy):
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    process, gate = start_gated(toy, "train@full-1")
    toy.edit("src/toy/late.py", "1000", "7")
    toy.edit("params.yaml", "threads: 1", "threads: 2")
    gate.touch()
    assert process.wait(300) == 0
    assert toy.last() == ("train@full-1", "ran")


# The frozen copy


def test_an_import_that_dvc_yaml_does_not_list_fails(fresh):
    fresh.edit("src/toy/stages/source.py", "def main():\n", "def main():\n    import toy.dapo  # noqa\n")
    done = fresh.run("source", check=False)
    assert done.returncode == 1
    assert "No module named 'toy.dapo'" in done.stderr
    assert "run `snakedvc deps`" in done.stderr


def test_a_section_that_dvc_yaml_does_not_list_cannot_be_read_but_systems_can(fresh):
    fresh.edit("src/toy/stages/source.py", 'param("source.rows")', 'param("source.rows") + param("systems.threads")')
    fresh.run("source")
    fresh.edit("src/toy/stages/source.py", 'param("systems.threads")', 'param("evaluate.samples")')
    done = fresh.run("source", check=False)
    assert "KeyError: 'evaluate'" in done.stderr


def test_a_listed_file_that_is_gone_is_named(fresh):
    (fresh.root / "src/toy/gate.py").unlink()
    done = fresh.run("source", check=False)
    assert "error: dvc.yaml: stage source lists src/toy/gate.py, which is not there: run `snakedvc deps`" in done.stderr


def test_the_text_of_a_stage_is_utf_8_whatever_the_locale(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    command = f"{sys.executable} -c \"open('out', 'w').write(chr(0x2212))\""
    stage = SimpleNamespace(addr="s", cmd=command, outs=["out"], log_dir=Path("logs"), named=())
    with open("lock", "w") as lock:
        execute(stage, Path("frozen"), Path("checkpoints"), Path("log"), lock.fileno())
    assert Path("out").read_bytes() == b"\xe2\x88\x92"
