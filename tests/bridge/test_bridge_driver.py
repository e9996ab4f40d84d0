"""What the driver brings back before it plans, so that only what no cache has becomes a job."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from bridge_kit import ALL, ENTRIES, EVALUATE, TRAIN
from driver_kit import BRANCH, SCORE, drive, plan, snapshot, without_outputs

from snakedvc.dvcfiles.digest import digest
from snakedvc.dvcfiles.load import load_pipeline
from snakedvc.dvcfiles.seen import Tree, signature


def test_deleted_outputs_need_no_job_and_come_back_whole(toy):
    before = toy.outputs()
    without_outputs(toy)
    planned, text = plan(toy)
    assert planned == {}
    assert "12 stages would be restored before any job starts: source, 2 weights, 4 train, 4 evaluate, table" in text
    ran, how, text = drive(toy)
    assert (ran, how) == ({}, dict.fromkeys(ALL, "restored"))
    assert "12 stages restored: source, 2 weights, 4 train, 4 evaluate, table" in text
    assert toy.outputs() == before
    assert drive(toy)[:2] == ({}, {})


def test_only_what_is_gone_is_brought_back_and_only_for_the_target(toy):
    shutil.rmtree(toy.root / "artifacts/t/train/full-s1/policy")
    shutil.rmtree(toy.root / "artifacts/t/train/anchor-s1")
    kept = toy.root / "artifacts/t/train/full-s1/log/rows.json"
    inode = kept.stat().st_ino
    ran, how, _ = drive(toy, SCORE)
    assert (ran, how) == ({}, {"train@full-1": "restored"})
    # The other output of the same stage was right, and another branch was not asked for.
    assert kept.stat().st_ino == inode
    assert not (toy.root / "artifacts/t/train/anchor-s1").exists()


def test_a_reverted_param_needs_no_job_below_it_either(toy):
    before = toy.outputs()
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    assert drive(toy)[0] == {"train": 4, "evaluate": 4, "table": 1}
    toy.edit("params.yaml", "steps: 4", "steps: 3")
    assert plan(toy)[0] == {}
    ran, how, _ = drive(toy)
    assert (ran, how) == ({}, dict.fromkeys(TRAIN | EVALUATE | {"table"}, "restored"))
    assert toy.outputs() == before


def test_a_miss_is_a_job_with_all_below_it_and_what_it_reads_is_restored(toy):
    without_outputs(toy)
    toy.edit("params.yaml", "anchor: {p: 0.2}", "anchor: {p: 0.5}")
    missed = {"weights": 1, "train": 2, "evaluate": 2, "table": 1}
    assert plan(toy)[0] == missed
    ran, how, _ = drive(toy)
    assert ran == missed
    assert {a for a, h in how.items() if h == "restored"} == BRANCH | {"train@full-2", "evaluate@full-2"}


def test_a_dry_run_writes_nothing(toy):
    without_outputs(toy)
    toy.edit("params.yaml", "samples: 2", "samples: 3")
    before = snapshot(toy.root)
    planned, text = plan(toy)
    assert planned == {"evaluate": 4, "table": 1}
    assert "7 stages would be restored" in text
    assert snapshot(toy.root) == before


def test_modification_times_mean_nothing(toy):
    for path in sorted((toy.root / "artifacts").rglob("*"), reverse=True):
        os.utime(path)
    os.utime(toy.root / "given/first.json")
    assert drive(toy)[:2] == ({}, {})


def test_snakemake_is_shown_only_what_leads_to_a_job(toy):
    def selected() -> set[str]:
        """The rules whose jobs Snakemake looks at."""
        return set(re.findall(r"^selected job (\w+)$", plan(toy, "--debug-dag")[1], re.M)) - {"all"}

    drive(toy)
    assert selected() == {"table"}
    toy.edit("params.yaml", "samples: 2", "samples: 3")
    assert selected() == {"table", "evaluate"}
    shutil.rmtree(toy.root / "artifacts/t/train/full-s1")
    assert selected() == {"table", "evaluate"}  # it comes back from the cache, and reads nothing for that
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    assert selected() == {"table", "evaluate", "train"}


def test_batches_are_of_all_inputs_whatever_is_in_place(toy):
    """What the first batch made is in place when the second is planned, and changes nothing of what that holds."""
    drive(toy)
    toy.edit("params.yaml", "samples: 2", "samples: 3")
    assert drive(toy, "table", "--batch", "table=1/2")[0] == {"evaluate": 2}
    assert plan(toy, "table", "--batch", "table=2/2")[0] == {"evaluate": 2, "table": 1}


@pytest.mark.parametrize(("options", "left"), [(["--until", "train"], set()), (["--omit-from", "train"], set())])
def test_a_cut_of_the_dag_is_made_in_all_of_it(toy, options, left):
    """Below a stage that is in place, and that leads to no job itself, jobs are left out too."""
    drive(toy)
    toy.edit("params.yaml", "samples: 2", "samples: 3")
    assert plan(toy)[0] == {"evaluate": 4, "table": 1}
    assert set(plan(toy, *options)[0]) == left


def test_what_was_accepted_counts_only_while_all_of_it_is_as_it_was(toy, monkeypatch):
    monkeypatch.chdir(toy.root)
    drive(toy)
    stage, outs = "train@full-1", load_pipeline().stage("train@full-1").outs
    key, name, _ = json.loads(Path(f".dvc/tmp/seen/{stage}.json").read_text())[""]
    found = Tree(write=False).accepted(stage, key, outs)
    record = Path(".dvc/cache/runs", key[:2], key, name)
    assert found is not None
    assert found.made == {out: digest(Path(out)).md5 for out in outs}
    assert found.file == signature(record)
    assert Tree(write=False).accepted(stage, "0" * 64, outs) is None  # other code, params or inputs
    record.write_bytes(record.read_bytes())
    assert found.file != signature(record)
    rows = Path("artifacts/t/train/full-s1/log/rows.json")
    rows.write_bytes(rows.read_bytes())
    assert Tree(write=False).accepted(stage, key, outs) is None
    assert drive(toy)[:2] == ({}, {})
    assert Tree(write=False).accepted(stage, key, outs) is not None


def test_a_forced_stage_stays_a_job(toy):
    assert plan(toy, "-R", "evaluate")[0] == {"evaluate": 4, "table": 1}
    assert plan(toy, "-F")[0] == {"source": 1, "weights": 2, "train": 4, "evaluate": 4, "table": 1}


def test_an_output_edited_by_hand_is_set_aside_and_brought_back(toy):
    path = "artifacts/t/source/rows.json"
    old = toy.text(path)
    edited = old.replace("0", "9", 1)
    (toy.root / path).write_text(edited)  # of the same size
    ran, how, text = drive(toy)
    assert (ran, how) == ({}, {"source": "restored"})
    assert "artifacts/t/source is not what stage source made: it is now .dvc/tmp/altered/0/artifacts/t/source" in text
    assert (toy.text(path), toy.text(".dvc/tmp/altered/0/" + path)) == (old, edited)


def test_an_edited_output_of_a_stage_that_runs_anew_is_set_aside(toy):
    rule, realised = (f"artifacts/t/weights/anchor/{name}.json" for name in ("rule", "realised"))
    (toy.root / realised).write_text("edited")
    toy.edit("params.yaml", "anchor: {p: 0.2}", "anchor: {p: 0.4}")
    before = snapshot(toy.root)
    assert plan(toy)[0]["weights"] == 1
    assert snapshot(toy.root) == before
    ran, how, text = drive(toy)
    assert (ran["weights"], how["weights@anchor"]) == (1, "ran")
    aside = f".dvc/tmp/altered/0/{realised}"
    assert f"{realised} is not what stage weights@anchor made: it is now {aside}" in text
    assert toy.text(aside) == "edited"
    assert "0.4" in toy.text(rule)
    assert "edited" not in toy.text(realised)
    assert [p.name for p in (toy.root / ".dvc/tmp/altered").rglob("*") if p.is_file()] == ["realised.json"]


@pytest.mark.parametrize("forced", [False, True])
def test_an_edited_output_is_set_aside_below_a_stage_that_runs_and_where_it_is_forced(toy, forced):
    (toy.root / SCORE / "mine.txt").write_text("a note")
    if not forced:  # then the key of evaluate is not known before train has run
        toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    drive(toy, *(("-R", "evaluate") if forced else ()))
    assert toy.text(f".dvc/tmp/altered/0/{SCORE}/mine.txt") == "a note"
    assert not (toy.root / SCORE / "mine.txt").exists()
    assert len(list((toy.root / ".dvc/tmp/altered").iterdir())) == 1


def test_what_the_last_run_made_is_no_edit_though_the_cache_lost_it(toy):
    for path in toy.objects():
        path.unlink()
    toy.edit("params.yaml", "rows: 4", "rows: 5")
    assert "ran" in drive(toy)[1].values()
    assert not (toy.root / ".dvc/tmp/altered").exists()


@pytest.mark.parametrize("when_ns", [0, -(10**15), 10**15], ids=["old time", "clock set back", "from the future"])
def test_an_output_edited_under_any_time_is_seen(toy, when_ns):
    path = toy.root / "artifacts/t/source/rows.json"
    before, old = toy.outputs(), path.stat()
    path.write_text(path.read_text().replace("0", "9", 1))  # of the same size
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns + when_ns))
    assert "ran" not in toy.make().values()
    assert toy.outputs() == before


def test_a_cache_that_cannot_be_written_is_one_line_before_anything_runs(fresh):
    """A folder of the kernel's stands for a read-only cache: not even root writes there."""
    (fresh.root / ".dvc/config").write_text("[cache]\n    dir = /sys/kernel\n")
    for command in (["snakemake", "--profile", "local"], [sys.executable, "-m", "snakedvc.running", "source"]):
        done = fresh.command(*command, check=False)
        assert done.returncode
        said = [line for line in (done.stdout + done.stderr).splitlines() if "error: " in line]
        assert len(said) == 1
        assert "/sys/kernel: the cache cannot be written (" in said[0]
        assert "so no stage can be run: make it writable, or choose another (`dvc cache dir FOLDER`)" in said[0]
        assert "Traceback" not in done.stderr
    assert "ran" not in {entry["how"] for entry in fresh.journal()}


def test_a_restore_that_was_killed_is_not_taken_for_an_output(toy):
    # What a driver leaves that is killed while it brings this stage back.
    (toy.root / ".dvc/tmp/writing").mkdir(exist_ok=True)
    (toy.root / ".dvc/tmp/writing/source").touch()
    (toy.root / "artifacts/t/source/rows.json").write_text("[0")
    before = toy.outputs() | {"artifacts/t/source/rows.json": b"[0, 1, 2, 3]\n"}
    assert drive(toy)[:2] == ({}, {"source": "restored"})
    assert toy.outputs() == before
    assert not (toy.root / ".dvc/tmp/altered").exists()


# dvc.lock


def test_the_mirror_of_dvc_lock_is_read_only_while_it_is_of_that_file(toy):
    from snakedvc.dvcfiles.records import MIRROR

    assert json.loads(toy.text(str(MIRROR)))["stages"].keys() == ENTRIES
    toy.edit("dvc.lock", "rows: 4", "rows: 5")
    code = "from snakedvc.dvcfiles.records import Records; print(dict(Records().get('source').params))"
    assert "'rows': 5" in toy.command(sys.executable, "-c", code).stdout


def test_a_fold_changes_only_the_lines_of_its_stages(toy):
    text = toy.text("dvc.lock")
    toy.edit("params.yaml", "digits: 3", "digits: 4")
    assert toy.ran() == {"table"}
    old, new = text.split("  table:\n"), toy.text("dvc.lock").split("  table:\n")
    assert old[0] == new[0]
    assert old[1].partition("  train@")[1:] == new[1].partition("  train@")[1:]
    assert old != new
    # As DVC itself would write it, whatever was there before: an empty or a foreign form is written anew.
    (toy.root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {}}))
    toy.edit("params.yaml", "digits: 4", "digits: 3")
    toy.make()
    assert "dvc.lock" not in toy.command("dvc", "status", "table").stdout
