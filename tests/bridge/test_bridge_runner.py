"""The stage runner alone: what it restores, refuses, freezes and keeps when things go wrong."""

import errno
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml
from bridge_kit import ROOT, TWO, Toy, replicates


def wait_for(path, seconds: float = 120.0) -> None:
    end = time.time() + seconds
    while not path.exists():
        assert time.time() < end, f"{path} never came"
        time.sleep(0.01)


def start_gated(toy: Toy, addr: str):
    """Start a stage that waits for `gate`; returns the process and the gate once the stage is waiting."""
    gate = toy.root / "gate"
    process = toy.start(addr, TOY_GATE=f"{addr.partition('@')[0]}:{gate}")
    wait_for(toy.root / "gate.started")
    return process, gate


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


# Failures


def test_a_killed_stage_leaves_nothing_and_goes_on_from_its_checkpoint(toy):
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    done = toy.run("train@full-1", check=False, TOY_DIE_AT="2")
    assert done.returncode == 1
    assert toy.last() == ("train@full-1", "failed")
    assert not (toy.root / "artifacts/t/train/full-s1/policy").exists()
    (checkpoint,) = (toy.root / ".ckpt/train@full-1").iterdir()
    # Another variant meanwhile must not use it, nor delete it.
    toy.edit("params.yaml", "rate: 1e-2", "rate: 5e-2")
    toy.run("train@full-1")
    assert "from step 0" in toy.text("logs/train/train@full-1/output.log")
    assert checkpoint.exists()
    toy.edit("params.yaml", "rate: 5e-2", "rate: 1e-2")
    toy.run("train@full-1")
    assert "from step 2" in toy.text("logs/train/train@full-1/output.log")
    assert not (toy.root / ".ckpt/train@full-1").exists()


def test_a_killed_runner_leaves_its_stage_alone_until_it_has_ended(fresh):
    process, gate = start_gated(fresh, "source")
    process.kill()
    process.wait(300)
    # The orphan still writes.  A second run must wait for it, not write beside it.
    second = fresh.start("source")
    with pytest.raises(Exception, match="timed out"):
        second.wait(timeout=1)
    gate.touch()
    assert second.wait(300) == 0
    assert fresh.last() == ("source", "ran")
    assert fresh.text("artifacts/t/source/meta/count.json") == "4\n"


def test_a_terminated_runner_ends_its_stage_and_accepts_nothing(fresh):
    process, _ = start_gated(fresh, "source")
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 128 + signal.SIGTERM
    assert fresh.last() == ("source", "failed")
    assert not (fresh.root / "artifacts/t/source").exists()
    fresh.run("source")
    assert fresh.last() == ("source", "ran")


def start_gated_driver(toy: Toy, target: str) -> tuple[subprocess.Popen, Path]:
    """Start Snakemake in a process group of its own; returns it and the gate once stage train is waiting there."""
    gate = toy.root / "gate"
    command, env = ["snakemake", "--profile", "local", target], toy.environment(TOY_GATE=f"train:{gate}")
    driver = subprocess.Popen(
        command,
        cwd=toy.root,
        env=env,
        start_new_session=True,
        stderr=(toy.root / "driver.txt").open("wb"),
        # Tests that run in the background inherit an ignored SIGINT; a user's terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(toy.root / "gate.started")
    return driver, gate


def test_a_killed_driver_is_started_again_without_ado_and_the_work_of_its_stage_is_not_lost(toy):
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    target = "artifacts/t/train/full-s1/policy"
    driver, gate = start_gated_driver(toy, target)
    # Snakemake's lock keeps a second one off while the first lives.
    second = toy.command("snakemake", "--profile", "local", target, check=False)
    assert second.returncode != 0
    assert f"error: Snakemake runs in this project already (process {driver.pid} on " in second.stderr
    assert "--unlock" not in second.stderr
    assert "Traceback" not in second.stderr
    driver.kill()
    driver.wait(300)
    assert list((toy.root / ".snakemake/locks").iterdir())
    # Its runner still runs: the next one waits for it and takes its result.
    before = len(toy.journal())
    threading.Timer(3, gate.touch).start()
    toy.make(target)
    assert [e["how"] for e in toy.journal()[before:]] in (["ran"], ["ran", "restored"])
    assert not list((toy.root / ".dvc/tmp/drivers").glob("*.driver"))


def test_a_lock_of_a_driver_killed_on_another_host_is_left_and_named(toy):
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    target = "artifacts/t/train/full-s1/policy"
    driver, gate = start_gated_driver(toy, target)
    driver.kill()
    driver.wait(300)
    (record,) = (toy.root / ".dvc/tmp/drivers").glob("*.driver")
    record.write_text(json.dumps({"host": "login2", "pid": "77"}))
    done = toy.command("snakemake", "--profile", "local", target, check=False)
    assert done.returncode != 0
    assert "a driver on login2 (process 77) left Snakemake's lock: if it no longer runs there" in done.stderr
    toy.command("snakemake", "--profile", "local", "--unlock", target)
    gate.touch()
    toy.make(target)
    assert toy.last()[0] == "train@full-1"


def test_control_c_on_snakemake_ends_the_stage_and_the_next_run_goes_on(toy):
    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    driver, _ = start_gated_driver(toy, "artifacts/t/train/full-s1/policy")
    os.killpg(driver.pid, signal.SIGINT)
    assert driver.wait(300) != 0
    end = time.time() + 20
    while toy.last() != ("train@full-1", "interrupted") and time.time() < end:
        time.sleep(0.05)
    assert toy.last() == ("train@full-1", "interrupted")
    said = toy.text("driver.txt")
    assert "\ntrain@full-1: stopped; the same command goes on\n" in said
    assert "\nstopped; the same command goes on\n" in said
    assert "Traceback" not in said
    assert not (toy.root / "artifacts/t/train/full-s1/policy").exists()
    assert toy.make("artifacts/t/train/full-s1/policy") == {"train@full-1": "ran"}
    assert "from step 3" in toy.text("logs/train/train@full-1/output.log")


def test_control_c_while_the_runner_still_imports_is_one_line(fresh):
    slow = fresh.root / "slow"
    slow.mkdir()
    (slow / "yaml.py").write_text("import time\nopen('importing', 'w').close()\ntime.sleep(60)\n")
    runner = fresh.start("source", PYTHONPATH=f"{slow}:{ROOT / 'src'}")
    wait_for(fresh.root / "importing")
    runner.send_signal(signal.SIGINT)
    assert runner.wait(20) == 130
    assert runner.stderr.read() == "source: stopped; the same command goes on\n"
    assert fresh.last() == ("source", "interrupted")


def test_a_full_disk_while_storing_accepts_nothing(toy, monkeypatch):
    from snakedvc.dvcfiles import cache
    from snakedvc.running import run

    toy.edit("params.yaml", "rate: 1e-3", "rate: 1e-2")
    monkeypatch.chdir(toy.root)
    monkeypatch.setenv("PATH", toy.environment()["PATH"])
    clone = cache.clone

    def clone_until_full(source, target):
        clone(source, target)
        if "log" in source.parts:
            target.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(cache, "clone", clone_until_full)
    runs = sorted((toy.root / ".dvc/cache/runs").rglob("*"))
    with pytest.raises(SystemExit) as stop:
        run.main(["train@full-1"])
    assert str(stop.value).startswith("error: train@full-1: the disk is full")
    assert toy.last() == ("train@full-1", "failed")
    assert sorted((toy.root / ".dvc/cache/runs").rglob("*")) == runs
    assert not (toy.root / "artifacts/t/train/full-s1/policy").exists()
    # The work is not lost: the rerun goes on from the last checkpoint.
    monkeypatch.setattr(cache, "clone", clone)
    run.main(["train@full-1"])
    assert toy.last() == ("train@full-1", "ran")
    assert "from step 3" in toy.text("logs/train/train@full-1/output.log")


def test_a_stage_that_does_not_write_an_output_fails(fresh):
    fresh.edit("dvc.yaml", "      - artifacts/${preset}/source\n\n", "      - artifacts/${preset}/other\n\n")
    done = fresh.run("source", check=False)
    assert "its command succeeded without writing artifacts/t/other" in done.stderr


# Side by side


def test_twenty_stages_at_once_and_every_one_is_recorded(toy):
    toy.edit("params.yaml", TWO, replicates(range(1, 11)))
    toy.edit("params.yaml", "steps: 3", "steps: 5")
    addrs = [f"train@{method}-{seed}" for method in ("full", "anchor") for seed in range(1, 11)]
    processes = [toy.start(addr) for addr in addrs]
    assert [p.wait(300) for p in processes] == [0] * 20
    assert {e["addr"]: e["how"] for e in toy.journal()[-20:]} == dict.fromkeys(addrs, "ran")
    toy.command("python", "-c", "from snakedvc.dvcfiles.records import fold; print(fold())")
    assert "train@" not in toy.command("dvc", "status").stdout


def test_a_second_run_of_the_same_stage_waits_and_restores(fresh):
    process, gate = start_gated(fresh, "source")
    second = fresh.start("source")
    gate.touch()
    assert (process.wait(300), second.wait(300)) == (0, 0)
    assert [e["how"] for e in fresh.journal()] == ["ran", "restored"]


def test_provenance_is_beside_the_log_and_in_no_output(toy):
    provenance = json.loads(toy.text("logs/train/train@full-1/provenance.json"))
    assert provenance["systems"] == {"systems": {"threads": 1}}
    assert provenance["systems_code"].keys() == {"src/toy/systems", "src/toy/rules"}
    assert {"git", "versions", "host", "wall_seconds", "key", "cpu", "instruction_sets", "gpus"} <= provenance.keys()
    flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    assert set(provenance["instruction_sets"]) <= set(flags)
    assert ("avx2" in provenance["instruction_sets"]) == ("avx2" in flags)
    assert provenance["versions"].keys() == {"python", "dvc", "snakemake"}
    host = provenance["host"].encode()
    assert not [name for name, content in toy.outputs().items() if host in content or b"wall_seconds" in content]
