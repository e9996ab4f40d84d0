"""Another trainer is a folder: a class of its own, and the loop, the log and the checkpoints are those of all."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from backends.toy.trainer import Toy
from backends.toy.trainer import train as train_toy
from kit.files import tree
from kit.jobs import TRAIN, run

from tokenspectrum.params.train import TrainParams
from tokenspectrum.systems.sigterm import NOTHING_NEW
from tokenspectrum.tokenlog.reader import check_folder, read_table
from tokenspectrum.training import logwriter, loop
from tokenspectrum.training.backends import trainer_names
from tokenspectrum.training.backends.local.backend import LocalBackend
from tokenspectrum.weighting.registry import make_rule

RULE = make_rule(
    kind="predictive-high", p=0.3, denominator="all", scope="rollout", entropy_of="old", score="predictive_entropy"
)
LOG = {"layers": [], "attention": "none", "row_stats": None}
# The stage as it is, where the folder of trainers holds one more.
STAGE = f"""
import tokenspectrum.training.backends as backends
backends.__path__.append({str(Path(__file__).with_name("backends"))!r})
from tokenspectrum.stages import train
from tokenspectrum.stages.entry import run
run(train.main)
"""


@pytest.fixture
def toy_job(make_job):
    return lambda name, **fields: make_job(name, rule=RULE, train={"token_log": LOG, "keep_steps": [1]}, **fields)


def train(job) -> dict[str, str]:
    train_toy(job)
    for part in ("policy", "metrics", "tokenlog"):
        check_folder(job.out / part)
    return tree(job.out)


def test_the_stage_finds_it_by_its_name_alone(toy_job, tmp_path) -> None:
    job = toy_job("a")
    sections = {"sampling": job.sampling, "reward": job.reward, "systems": job.systems}
    params = {name: section.model_dump(mode="json") for name, section in sections.items()}
    params["train"] = {**TRAIN, "trainer": "toy", "token_log": {**TRAIN["token_log"], **LOG}, "keep_steps": [1]}
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    (tmp_path / "rule.json").write_text(job.rule.to_json())
    words = f"--run method --seed 1 --preset test --policy-name random --rule {tmp_path}/rule.json --out {job.out} "
    words += f"--metrics {job.metrics} --prompts {job.prompts} --policy {job.policy}"
    environment = {**os.environ, "SNAKEDVC_PARAMS": str(tmp_path / "params.yaml"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STAGE, *words.split()], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert read_table(job.out / "tokenlog", "runs")["trainer"].to_pylist() == ["toy"]
    known = train(toy_job("b"))
    found = tree(job.out)
    # The table runs names the trainer.
    differing = {name for name in known.keys() | found.keys() if known.get(name) != found.get(name)}
    assert {name.split("/")[1] for name in differing} == {"runs", "manifest.json"}
    assert sorted(name for name in found if name.startswith("policy/step=")) == [
        "policy/step=00001/table.safetensors",
        "policy/step=00004/table.safetensors",
    ]


def test_it_is_told_from_one_that_is_not_there(tmp_path) -> None:
    assert trainer_names() == ("local", "verl")
    with pytest.raises(ValueError, match="'local' or 'verl'"):
        TrainParams.model_validate_json(json.dumps({**TRAIN, "trainer": "toy"}))


@pytest.mark.parametrize("where", ["write_tables", "save", "export"])
def test_dying_and_going_on_gives_the_same_bytes_though_the_log_is_a_step_behind(toy_job, monkeypatch, where) -> None:
    whole = train(toy_job("whole"))
    job, calls = toy_job("a"), []
    owner = {"write_tables": logwriter, "save": loop, "export": Toy}[where]
    real = getattr(owner, where)

    def dying(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, where, dying)
        with pytest.raises(KeyboardInterrupt):
            train_toy(job)
    assert not job.out.exists()
    assert train(job) == whole


def test_an_error_of_the_log_ends_the_run(toy_job, monkeypatch) -> None:
    def full(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(logwriter, "write_tables", full)
    with pytest.raises(OSError, match="the disk is full"):
        train_toy(toy_job("a"))


def test_stopped_before_its_first_step_it_leaves_no_checkpoint(toy_job) -> None:
    @contextmanager
    def terminated(job, tokenizer):
        os.kill(os.getpid(), signal.SIGTERM)
        yield Toy(job, tokenizer)

    job = toy_job("a")
    with pytest.raises(SystemExit) as stopped:
        loop.train(job, terminated)
    assert stopped.value.code == NOTHING_NEW
    assert list(job.checkpoints.glob("step=*")) == []
    assert train(job) == train(toy_job("b"))


def test_the_local_trainer_gives_the_same_bytes_with_its_log_a_step_behind(make_job, monkeypatch) -> None:
    at_once = run(make_job("a"))
    monkeypatch.setattr(LocalBackend, "overlaps", True)
    assert run(make_job("b")) == at_once
