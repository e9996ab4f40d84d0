"""Processes that share a training's work: the same bytes as one, and each of them works.

Trainings run in processes of their own, since PyTorch takes no gradient in a fork of a process that has taken one.
Those that nobody kills begin in copies of one that has loaded the libraries.
"""

import os
import signal
import subprocess
import sys
import time

import pytest
from kit.files import tree
from kit.jobs import run, stage_of
from kit.rules import ANCHOR, UNIFORM
from kit.warm import run as run_in

# Small micro-batches and batches, so that there is something to share.
CUT = {"micro_batch": 3, "generate_batch": 6}
# Trains as the stage does, and notes which process did what.
NOTED = """
import os, sys
from tokenspectrum.rollout import measure
from tokenspectrum.rollout.engines.transformers.engine import TransformersEngine
from tokenspectrum.training.backends.local import update

def noted(name, real):
    def call(*args, **options):
        with open(sys.argv[1], "a") as f:
            print(name, os.getpid(), os.getppid(), file=f)
        return real(*args, **options)
    return call

measure.lay_out = noted("measure", measure.lay_out)
TransformersEngine._decode = noted("sample", TransformersEngine._decode)
update.response_logprobs = noted("update", update.response_logprobs)
from tokenspectrum.stages import entry, train
entry.run(lambda: train.main(sys.argv[2:]))
"""


@pytest.fixture
def finish(warm):
    """finish(command, environment): to its end in a process of its own, which gives what it said."""

    def finish(command: list[str], environment: dict[str, str]) -> str:
        done = run_in(warm, command[1:], os.environ | environment)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return finish


@pytest.mark.parametrize("rule", [ANCHOR, UNIFORM])
def test_two_and_three_processes_leave_the_bytes_of_one(make_job, finish, tmp_path, rule) -> None:
    want = run(make_job("one", systems=CUT, rule=rule))
    for processes in (2, 3):
        job = make_job(f"of{processes}", systems=CUT | {"processes": processes}, rule=rule)
        finish(*stage_of(job, tmp_path / f"params{processes}"))
        assert tree(job.out) == want


def test_every_process_samples_measures_and_learns(make_job, finish, tmp_path) -> None:
    (tmp_path / "noted.py").write_text(NOTED)
    for processes in (1, 2):
        job = make_job(f"of{processes}", systems=CUT | {"processes": processes}, train={"steps": 1})
        command, environment = stage_of(job, tmp_path / f"params{processes}")
        notes = tmp_path / f"notes{processes}"
        finish([sys.executable, str(tmp_path / "noted.py"), str(notes), *command[3:]], environment)
        lines = [line.split() for line in notes.read_text().splitlines()]
        for name in ("sample", "measure", "update"):
            workers = {pid for what, pid, _ in lines if what == name}
            parents = {parent for what, _, parent in lines if what == name}
            assert len(workers) >= processes
            assert parents.isdisjoint(workers)
            assert len(parents) == 1


def test_killed_and_gone_on_with_another_number_of_processes_it_leaves_the_same_bytes(
    make_job, finish, tmp_path
) -> None:
    want = run(make_job("one", systems=CUT, train={"steps": 8}))
    two = make_job("two", systems=CUT | {"processes": 2, "checkpoint_every": 1}, train={"steps": 8})
    command, environment = stage_of(two, tmp_path / "params2")
    with subprocess.Popen(command, env=os.environ | environment) as process:
        while process.poll() is None and not (two.checkpoints / "step=00002").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    other = make_job("two", systems=CUT | {"processes": 3}, train={"steps": 8})
    assert "resuming after step" in finish(*stage_of(other, tmp_path / "params3"))
    assert tree(other.out) == want
