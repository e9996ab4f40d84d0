"""Several drivers at once and several clones: what they share, and what none takes from another."""

import subprocess
import sys
import time
from pathlib import Path

from bridge_kit import ALL
from driver_kit import DRIVER, SCORE, jobs, plan, snapshot, start, with_remote, without_outputs


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
        assert "up to date" in clone.command("dvc", "status").stdout
        clone.edit("params.yaml", f"steps: {steps}", f"steps: {other}")


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
