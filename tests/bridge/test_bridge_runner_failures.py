"""The stage runner when it or its stage is killed, stopped or fails, and many of them side by side."""

import errno
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from bridge_kit import ROOT, TWO, Toy, replicates
from runner_kit import start_gated, wait_for

from snakedvc.planning.ended import was_interrupted


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
    assert not re.search("RuleException|Error in rule|WorkflowError|non-zero", said)
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


@pytest.mark.parametrize(
    ("how", "driver", "expected"), [("interrupted", 0, True), ("interrupted", 1, False), ("ran", 0, False)]
)
def test_only_a_runner_of_this_driver_says_that_it_was_interrupted(tmp_path, monkeypatch, how, driver, expected):
    monkeypatch.chdir(tmp_path)
    assert not was_interrupted()
    Path("logs").mkdir()
    entry = {"addr": "a", "how": how, "at": int(time.time()) + 1, "driver": os.getpid() + driver}
    # The first line is of a full disk, the last of a runner that is writing it.
    Path("logs/runner.jsonl").write_text('{"addr": "x\n' + json.dumps(entry) + "\n{")
    assert was_interrupted() is expected
