"""Stopped at any point and run again, a run ends with the bytes of one that was never stopped."""

import logging
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace

import pytest
from kit.jobs import run, stage_of
from kit.rules import UNIFORM

from tokenspectrum.systems.sigterm import STOPPED
from tokenspectrum.training import logwriter, loop
from tokenspectrum.training.backends.local import backend as local
from tokenspectrum.training.backends.local.trainer import train


class KilledError(Exception):
    pass


@pytest.fixture
def whole(make_job):
    """Outputs of a run that nothing happened to."""
    return run(make_job("whole", train={"keep_steps": [1]}))


def kill_at(monkeypatch, name: str, call: int) -> None:
    """Die inside `name`, on its `call`-th call, after it did its work."""
    module = {"write_tables": logwriter, "save_policy": local}.get(name, loop)
    real, calls = getattr(module, name), []

    def dying(*args):
        result = real(*args)
        calls.append(1)
        if len(calls) == call:
            raise KilledError
        return result

    monkeypatch.setattr(module, name, dying)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("run_step", 1),
        ("run_step", 4),
        ("write_tables", 2),
        ("write_tables", 3),
        ("save_policy", 1),
        ("save", 1),
        ("save", 2),
    ],
)
def test_dying_anywhere_and_going_on_gives_the_same_bytes(make_job, monkeypatch, whole, name, call, every) -> None:
    job = make_job("a", train={"keep_steps": [1]}, systems={"checkpoint_every": every})
    with monkeypatch.context() as patch:
        kill_at(patch, name, call)
        with pytest.raises(KilledError):
            train(job)
    assert not job.out.exists()
    assert run(job) == whole


def test_steps_before_the_checkpoint_are_not_run_again_and_stale_files_go(make_job, monkeypatch, whole) -> None:
    job = make_job("a", train={"keep_steps": [1]}, systems={"checkpoint_every": 2})
    with monkeypatch.context() as patch:
        kill_at(patch, "write_tables", 3)
        with pytest.raises(KilledError):
            train(job)
    stale = job.checkpoints / "outputs/tokenlog/tokens/run=method/seed=1/step=3"
    (stale / "part-1.parquet").write_bytes(b"left over")
    (stale / ".part-0.parquet.17.tmp").write_bytes(b"half")
    steps = []
    real = loop.run_step
    monkeypatch.setattr(loop, "run_step", lambda *args: steps.append(args[3]) or real(*args))
    assert run(job) == whole
    assert steps == [3, 4]


def test_sigterm_finishes_the_step_saves_and_says_so(make_job, monkeypatch, whole) -> None:
    job = make_job("a", train={"keep_steps": [1]}, systems={"checkpoint_every": 100})
    real = loop.run_step

    def terminated(actor, job, layers, step, *asked):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(actor, job, layers, step, *asked)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_step", terminated)
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as stopped:
            train(job)
    assert stopped.value.code == STOPPED
    assert signal.getsignal(signal.SIGTERM) is before
    assert [path.name for path in job.checkpoints.glob("step=*")] == ["step=00002"]
    assert run(job) == whole


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(make_job, monkeypatch, whole, caplog) -> None:
    job = make_job("a", train={"keep_steps": [1]}, systems={"checkpoint_every": 1})
    with monkeypatch.context() as patch:
        kill_at(patch, "save", 3)
        with pytest.raises(KilledError):
            train(job)
    file = job.checkpoints / "step=00003" / "actor" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"oops")
    with caplog.at_level(logging.INFO):
        assert run(job) == whole
    assert f"{file}: damaged" in caplog.text
    assert "resuming after step 2" in caplog.text


def test_with_every_checkpoint_damaged_it_starts_again(make_job, whole, caplog) -> None:
    job = make_job("a", train={"keep_steps": [1]})
    run(job)
    for path in job.checkpoints.glob("step=*"):
        (path / "actor" / "model.safetensors").unlink()
    shutil.rmtree(job.out)
    with caplog.at_level(logging.INFO):
        assert run(job) == whole
    assert caplog.text.count("model.safetensors: missing") == 2
    assert "resuming" not in caplog.text


def test_a_damaged_log_file_of_an_earlier_step_is_named_and_made_anew(make_job, whole, caplog) -> None:
    job = make_job("a", train={"keep_steps": [1]})
    run(job)
    file = job.checkpoints / "outputs/tokenlog/tokens/run=method/seed=1/step=1/part-0.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    assert run(job) == whole
    assert f"{file}: damaged" in caplog.text


def test_a_finished_run_is_published_again_without_training(make_job, monkeypatch, whole) -> None:
    job = make_job("a", train={"keep_steps": [1]})
    run(job)
    shutil.rmtree(job.out)
    monkeypatch.setattr(loop, "run_step", None)
    assert run(job) == whole


@pytest.mark.parametrize(
    "change", [{"train": {"grad_clip": 0.5}}, {"seed": 2}, {"rule": UNIFORM}], ids=["params", "seed", "rule"]
)
def test_a_checkpoint_of_other_params_is_not_used(make_job, change, caplog) -> None:
    run(make_job("a"))
    with caplog.at_level(logging.INFO):
        resumed = run(make_job("a", **change))
    assert "made from other inputs or params" in caplog.text
    assert resumed == run(make_job("b", **change))


def test_killed_and_terminated_processes_go_on(make_job, tmp_path, caplog) -> None:
    """The stage as a process: kill -9 in the middle, then SIGTERM, then to the end."""
    job = make_job("whole", train={"steps": 30})
    want = run(job)
    out, checkpoints = tmp_path / "out", tmp_path / "checkpoints"
    again = replace(job, out=out, metrics=out / "metrics", checkpoints=checkpoints)
    command, environment = stage_of(again, tmp_path)

    def start(after: int) -> subprocess.Popen:
        """Start, and wait for a checkpoint of step `after` or later."""
        process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)
        for _ in range(6000):
            steps = [int(path.name[5:]) for path in checkpoints.glob("step=*")]
            if process.poll() is not None or max(steps, default=0) >= after:
                break
            time.sleep(0.02)
        return process

    killed = start(2)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    terminated = start(6)
    terminated.terminate()
    _, log = terminated.communicate()
    assert terminated.returncode == STOPPED, log
    assert "stopped by SIGTERM after step" in log
    assert not out.exists()
    # The third start is in this process: what it resumes was written by the others.
    with caplog.at_level(logging.INFO):
        resumed = run(again)
    assert "resuming after step" in caplog.text
    assert resumed == want
