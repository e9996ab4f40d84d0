"""Stopped, damaged and started again: the run on verl goes on as if nothing had happened."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file
from stage_kit import EVERY, RUN, SEED, STEPS, STOP_AT, digest, interrupted_run, make_job

from tokenspectrum.errors import UserError
from tokenspectrum.policy.load import load_policy
from tokenspectrum.portable.device import device_kind
from tokenspectrum.systems.sigterm import STOPPED
from tokenspectrum.tokenlog.reader import read_file
from tokenspectrum.tokenlog.writer import MANIFEST, sha256, write_json
from tokenspectrum.training.backends.verl.backend import VerlBackend
from tokenspectrum.training.checkpoint import resume
from tokenspectrum.training.workspace import Workspace


@pytest.fixture(scope="module")
def run():
    found = interrupted_run()
    assert found.first.code == STOPPED, found.first.log[-4000:]
    assert found.second.code == 0, found.second.log[-4000:]
    return found


def table(root, name: str, step: int, part: str = "tokenlog"):
    return read_file(root / f"{part}/{name}/run={RUN}/seed={SEED}/step={step}/part-0.parquet")


def test_sigterm_finishes_the_step_and_leaves_a_checkpoint_of_it(run):
    assert len(run.saved) == 2
    earlier, newest = run.saved
    assert STOP_AT <= newest < STEPS
    assert earlier == (newest - 1) // EVERY * EVERY
    assert f"stopped by SIGTERM after step {newest}" in run.first.log
    assert not (run.before / f"metrics/metrics/run={RUN}/seed={SEED}/step={newest + 1}").exists()


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_taken(run):
    earlier, newest = run.saved
    assert re.search(rf"step={newest:05d}/actor/optim_world_size_1_rank_0\.pt: damaged", run.second.log)
    assert f"resuming after step {earlier} from" in run.second.log


def test_steps_before_the_checkpoint_are_not_logged_again(run):
    earlier, _ = run.saved
    for step in range(1, earlier + 1):
        for path in run.before.rglob(f"step={step}/part-0.parquet"):
            part = path.relative_to(run.before)
            published = run.job.metrics.parent / part if part.parts[0] == "metrics" else run.job.out / part
            assert digest(published) == digest(path), part
    for root in (run.job.out / "tokenlog", run.job.metrics):
        for path in root.rglob("run=*/seed=*/step=*"):
            assert [file.name for file in path.iterdir()] == ["part-0.parquet"]
            assert int(path.name.removeprefix("step=")) <= STEPS


def test_steps_after_it_come_out_as_they_had(run):
    """Policy, optimiser and data position are all back: the repeated steps draw and learn what they did before."""
    earlier, newest = run.saved
    for step in range(earlier + 1, newest + 1):
        first, again = (table(root, "tokens", step) for root in (run.before, run.job.out))
        for name in ("response_id", "position", "token_id", "minibatch", "advantage", "weight"):
            assert first[name].equals(again[name]), (step, name)
        for name in ("logprob", "predictive_entropy"):
            assert np.abs(first[name].to_numpy() - again[name].to_numpy()).max() < 1e-5
        kept = f"policy/step={step:05d}/model.safetensors"
        before, after = load_file(run.before / kept), load_file(run.job.out / kept)
        assert before.keys() == after.keys()
        for name, value in before.items():
            # A step moves a weight by about the learning rate, 2e-3.
            assert (value - after[name]).abs().max() < 2e-5, (step, name)


def test_the_last_policy_and_those_kept_are_whole_policies(run):
    folders = sorted(path.name for path in (run.job.out / "policy").iterdir() if path.is_dir())
    assert folders == [f"step={step:05d}" for step in range(1, STEPS + 1)]
    base, _ = load_policy(run.job.policy)
    last, tokenizer = load_policy(run.job.out / f"policy/step={STEPS:05d}")
    moved = [float((a - b).detach().abs().max()) for a, b in zip(base.parameters(), last.parameters(), strict=True)]
    assert max(moved) > 1e-3
    assert len(tokenizer) == last.get_input_embeddings().num_embeddings
    assert json.loads((run.job.out / f"policy/step={STEPS:05d}/config.json").read_text())["dtype"] == "float32"


def resume_alone(job) -> int:
    """Without workers: what is refused, or left behind, is so before any of them is asked."""
    work = Workspace(job.checkpoints / "outputs")
    return resume(VerlBackend(job, None, None), job.checkpoints, job.identity(), work).step


def test_a_checkpoint_of_another_number_of_ranks_is_refused(tmp_path):
    job = make_job(tmp_path)
    folder = job.checkpoints / "step=00002"
    folder.mkdir(parents=True)
    state = {"step": 2, "identity": job.identity(), "files": {}, "ranks": 4, "device": device_kind()}
    write_json(folder / "state.json", state)
    write_json(folder / MANIFEST, {"state.json": sha256(folder / "state.json")})
    with pytest.raises(
        UserError, match=r"step=00002 is of 4 ranks, but the systems params give 1: .* ask for 4 again"
    ) as e:
        resume_alone(job)
    assert "\n" not in str(e.value)
    assert folder.exists()


def test_a_checkpoint_of_other_params_is_left_behind(tmp_path):
    job = make_job(tmp_path)
    other = replace(job, seed=2)
    folder = job.checkpoints / "step=00002"
    folder.mkdir(parents=True)
    write_json(folder / "state.json", {"step": 2, "identity": other.identity(), "files": {}, "ranks": 1})
    write_json(folder / MANIFEST, {"state.json": sha256(folder / "state.json")})
    assert resume_alone(job) == 0
    assert not folder.exists()
