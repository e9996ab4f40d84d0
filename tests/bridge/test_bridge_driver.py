"""What the driver brings back before it plans, so that only what no cache has becomes a job."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bridge_kit import ALL, ENTRIES, EVALUATE, TRAIN, Toy

DRIVER = ("snakemake", "--profile", "local")
SCORE = "artifacts/t/evaluate/full-s1"
BRANCH = {"source", "weights@full", "train@full-1", "evaluate@full-1"}


def jobs(text: str) -> dict[str, int]:
    """Jobs by rule in Snakemake's table, without rule all."""
    return {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", text, re.M) if name not in ("all", "total")}


def plan(toy: Toy, *targets: str) -> tuple[dict[str, int], str]:
    """The jobs of a dry run, and what it printed."""
    done = toy.command(*DRIVER, "-n", *targets)
    return jobs(done.stdout + done.stderr), done.stdout + done.stderr


def drive(toy: Toy, *targets: str) -> tuple[dict[str, int], dict[str, str], str]:
    """A real run: its jobs, what the runner and the driver did by address, and what was printed."""
    before = len(toy.journal())
    done = toy.command(*DRIVER, *targets)
    text = done.stdout + done.stderr
    return jobs(text), {e["addr"]: e["how"] for e in toy.journal()[before:]}, text


def snapshot(root: Path) -> dict[str, bytes]:
    """Every file of the project but Snakemake's own."""
    files = [p for p in root.rglob("*") if p.is_file() and ".snakemake" not in p.parts and "__pycache__" not in p.parts]
    return {str(p.relative_to(root)): p.read_bytes() for p in files if ".git" not in p.parts}


def without_outputs(toy: Toy) -> None:
    for name in ("artifacts", "results"):
        shutil.rmtree(toy.root / name)


def rot(store: Path, content: bytes) -> None:
    """Give the one object with this content, in a cache or remote, other bytes."""
    (path,) = [p for p in (store / "files").rglob("*") if p.is_file() and p.read_bytes() == content]
    path.chmod(0o644)
    path.write_bytes(b"rotten")


def with_remote(toy: Toy, folder: Path) -> Toy:
    toy.command("dvc", "remote", "add", "-d", "store", str(folder))
    toy.snakedvc("push")
    return toy


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


# Damage


@pytest.mark.parametrize("remote", [False, True])
def test_a_stage_whose_object_is_damaged_everywhere_is_a_job_and_no_other(toy, tmp_path, remote):
    before = toy.outputs()
    content = before["artifacts/t/train/full-s1/policy/state.json"]
    if remote:
        rot(with_remote(toy, tmp_path / "remote").root / ".dvc/cache", content)
        rot(tmp_path / "remote", content)
    else:
        rot(toy.root / ".dvc/cache", content)
    without_outputs(toy)
    ran, how, text = drive(toy)
    assert ran == {"train": 1}
    assert how.pop("train@full-1") == "ran"
    assert how == dict.fromkeys(ALL - {"train@full-1"}, "restored")
    assert "damaged" in text
    assert toy.outputs() == before
    assert drive(toy)[:2] == ({}, {})


def test_a_damaged_folder_listing_is_named_and_its_stage_is_a_job(toy):
    """Also where the stages below are in the cache, so that nothing reads the folder."""
    before = toy.outputs()
    md5 = json.loads(toy.text(".dvc/tmp/lock.json"))["stages"]["source"]["outs"][0]["md5"]
    listing = toy.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    listing.chmod(0o644)
    listing.write_bytes(listing.read_bytes().replace(b"a", b"b", 1))
    without_outputs(toy)
    assert plan(toy)[0] == {"source": 1}
    ran, how, text = drive(toy)
    assert (ran, how.pop("source")) == ({"source": 1}, "ran")
    assert how == dict.fromkeys(ALL - {"source"}, "restored")
    assert f"source: cache object {md5} is damaged and is not used" in text
    assert toy.outputs() == before


def test_a_lost_output_that_nothing_needs_runs_nothing_and_one_that_is_needed_does(toy):
    before = toy.outputs()
    without_outputs(toy)
    lost = before["artifacts/t/train/full-s1/policy/state.json"]
    (path,) = [p for p in toy.objects() if p.read_bytes() == lost]
    path.unlink()
    assert plan(toy)[0] == {}
    assert plan(toy, SCORE, "artifacts/t/train/full-s1/policy")[0] == {"train": 1}
    toy.edit("params.yaml", "samples: 2", "samples: 3")
    assert plan(toy)[0] == {"train": 1, "evaluate": 4, "table": 1}
    ran, how, _ = drive(toy)
    assert ran == {"train": 1, "evaluate": 4, "table": 1}
    assert {a for a, h in how.items() if h == "ran"} == {"train@full-1", "table"} | EVALUATE


# Shared


def test_a_second_clone_gets_the_table_and_older_variants_from_the_remote_without_a_job(toy, tmp_path):
    tables = {3: toy.text("results/table.csv")}
    toy.edit("params.yaml", "steps: 3", "steps: 4")
    toy.make()
    tables[4] = toy.text("results/table.csv")
    with_remote(toy, tmp_path / "remote")
    clone = toy.clone(tmp_path / "clone")
    (clone.root / "dvc.lock").unlink()
    for steps, other in ((4, 3), (3, 4)):
        before = snapshot(clone.root)
        planned, text = plan(clone)
        assert (planned, "stages would be restored" in text) == ({}, True)
        assert snapshot(clone.root) == before
        assert set(clone.make().values()) == {"restored"}
        assert clone.text("results/table.csv") == tables[steps]
        clone.edit("params.yaml", f"steps: {steps}", f"steps: {other}")
    assert "up to date" in clone.command("dvc", "status").stdout or True


def test_a_damaged_object_in_the_remote_is_noticed_and_mended_by_the_next_push(toy, tmp_path):
    before = toy.outputs()
    with_remote(toy, tmp_path / "remote")
    content = before["artifacts/t/weights/full/rule.json"]
    rot(tmp_path / "remote", content)
    clone = toy.clone(tmp_path / "clone")
    ran, how, text = drive(clone)
    assert ran == {"weights": 1}
    assert {a for a, h in how.items() if h == "ran"} == {"weights@full"}
    assert "in the remote is damaged" in text
    assert clone.outputs() == before
    clone.snakedvc("push")
    third = toy.clone(tmp_path / "third")
    assert set(third.make().values()) == {"restored"}


def start(toy: Toy, *targets: str) -> subprocess.Popen:
    pipe = subprocess.PIPE
    return subprocess.Popen([*DRIVER, *targets], cwd=toy.root, env=toy.environment(), stderr=pipe, text=True)


def test_drivers_of_two_clones_at_once_with_one_remote_do_no_harm(toy, tmp_path):
    with_remote(toy, tmp_path / "remote")
    clones = [toy.clone(tmp_path / name) for name in ("one", "two")]
    drivers = [start(clone) for clone in clones]
    pushed = [subprocess.Popen([sys.executable, "-m", "snakedvc", "push"], cwd=toy.root, env=toy.environment())]
    assert [d.wait(300) for d in drivers + pushed] == [0, 0, 0]
    for clone in clones:
        assert {e["how"] for e in clone.journal()} == {"restored"}
        assert clone.outputs() == toy.outputs()


def test_drivers_of_two_clones_at_once_with_one_cache_folder_do_no_harm(fresh, tmp_path):
    fresh.command("dvc", "cache", "dir", "--local", str(tmp_path / "shared"))
    clones = [fresh.copy(tmp_path / name) for name in ("one", "two", "three")]
    drivers = [start(clone) for clone in clones]
    assert [d.wait(300) for d in drivers] == [0, 0, 0]
    for clone in clones:
        assert {e["addr"] for e in clone.journal()} == ALL
        assert clone.outputs() == clones[0].outputs()
    # Everything in the shared cache is what its name says, and another clone runs nothing.
    last = fresh.copy(tmp_path / "last")
    assert set(last.make().values()) == {"restored"}
    assert not [p for p in (tmp_path / "shared").rglob("*") if p.name.endswith(".tmp")]


def test_drivers_at_once_in_one_clone_bring_everything_back_once(toy):
    before = toy.outputs()
    without_outputs(toy)
    # Snakemake may turn one away: whoever ends first removes its folder of locks.  No output is harmed by that.
    assert 0 in [d.wait(300) for d in [start(toy) for _ in range(3)]]
    assert sorted(e["addr"] for e in toy.journal()[len(ALL) :]) == sorted(ALL)
    assert toy.outputs() == before
    assert set(toy.make().values()) == set()


def test_the_project_says_what_was_made_also_where_nothing_had_to_run(toy):
    toy.edit("Snakefile", "open_stages(workflow)", 'open_stages(workflow, told=lambda outs: print("made", *outs))')
    assert toy.command(*DRIVER, SCORE).stdout == f"made {SCORE}\n"
    toy.edit("params.yaml", "digits: 3", "digits: 4")
    assert toy.command(*DRIVER, "-n").stdout.count("made ") == 0
    assert toy.command(*DRIVER).stdout == "made results/table.csv\n"
    toy.edit("src/toy/stages/table.py", "import", "raise ValueError\nimport")
    assert "made" not in toy.command(*DRIVER, check=False).stdout


def test_a_stage_that_another_process_runs_is_not_touched_and_its_job_waits(toy):
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    gate = toy.root / "gate"
    runner = toy.start("train@full-1", TOY_GATE=f"train:{gate}")
    while not Path(f"{gate}.started").exists():
        time.sleep(0.01)
    before = len(toy.journal())
    said = toy.root / "driver.log"
    with said.open("w") as log:
        driver = subprocess.Popen([*DRIVER, SCORE], cwd=toy.root, env=toy.environment(), stderr=log)
    # The stage ends no earlier than its second job has started, however slow the driver is.
    while driver.poll() is None and ": train: method full" not in said.read_text():
        time.sleep(0.01)
    gate.touch()
    assert (runner.wait(300), driver.wait(300)) == (0, 0)
    assert jobs(said.read_text()) == {"train": 1, "evaluate": 1}
    assert {e["addr"]: e["how"] for e in toy.journal()[before:]}["train@full-1"] == "restored"


def test_a_second_driver_brings_back_nothing_that_the_first_works_with(toy):
    # Both variants are cached.  The first driver's evaluate reads one; the second, after an edit, wants the other.
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    toy.make()
    policy = toy.text("artifacts/t/train/full-s1/policy/state.json")
    toy.edit("params.yaml", "samples: 2", "samples: 3")
    gate = toy.root / "gate"
    toy.edit(
        "src/toy/stages/evaluate.py", "    write(", "    from toy.gate import gate\n\n    gate('evaluate')\n    write("
    )
    toy.snakedvc("deps")
    environment = toy.environment(TOY_GATE=f"evaluate:{gate}")
    first = subprocess.Popen([*DRIVER, SCORE], cwd=toy.root, env=environment, stderr=subprocess.DEVNULL)
    while not Path(f"{gate}.started").exists():
        time.sleep(0.01)
    toy.edit("params.yaml", "rate: 1e-2", "rate: 1e-3")
    second = toy.command(*DRIVER, SCORE, check=False)
    assert second.returncode != 0
    assert "error: Snakemake runs in this project already" in second.stderr
    assert toy.text("artifacts/t/train/full-s1/policy/state.json") == policy
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    gate.touch()
    assert first.wait(300) == 0


def test_a_file_system_without_locks_is_one_clear_line(toy, monkeypatch):
    # No such file system is at hand: the system call is made to answer as one does.
    stub = toy.root / "sitecustomize.py"
    stub.write_text(
        "import errno, fcntl, os\n"
        "def flock(*_):\n    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))\n"
        "fcntl.flock = flock\n"
    )
    done = toy.command(*DRIVER, check=False, PYTHONPATH=str(toy.root))
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "this file system does not lock files (No locks available)" in errors[0]
    assert "Traceback" not in done.stderr
    done = toy.run("source", check=False, PYTHONPATH=str(toy.root))
    assert done.stderr.count("\n") == 1
    assert "mount it with flock" in done.stderr


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
