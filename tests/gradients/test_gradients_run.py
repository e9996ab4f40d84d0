"""The stage `run_gradients` on a run of the local trainer: against the norm that the trainer itself logged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from kit.jobs import make_job, run, write_prompts
from kit.policy import letters, write_letters
from kit.rules import UNIFORM
from kit.tables import write_vocab

from tokenspectrum.errors import UserError
from tokenspectrum.policy.vocab import vocab_columns
from tokenspectrum.rollout.logged import Logged
from tokenspectrum.stages import run_gradients
from tokenspectrum.tokenlog.reader import read_table

TRAINED = {"mini_batches": 1, "steps": 3, "keep_steps": [2], "token_log": {"layers": [1]}}
PARAMS = {
    "gradients": {"subsets": {"anchors": {"kind": "anchor", "p": 0.3}}, "by_layer": {"layers": "all"}, "norms": 2},
    "run_gradients": {"methods": ["method"], "steps": [1, 3]},
    "tokens": {"alignment": "decision"},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A run of three steps with its base policy, prompts and vocabulary."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SNAKEDVC_LOG_DIR", raising=False)
        policy, prompts = write_letters(root / "policy"), write_prompts(root / "prompts", 12)
        job = make_job(root, prompts, policy, rule=UNIFORM, train=TRAINED)
        run(job)
        columns = vocab_columns(letters(), "")
        write_vocab(root / "vocab", "letters", columns["text"], columns["type"])
        params = PARAMS | {"sampling": job.sampling.model_dump(), "systems": job.systems.model_dump(mode="json")}
        (root / "params.json").write_text(json.dumps(params))
        (root / "job").write_text(f"{job.out}\n{job.metrics}")
    return root


@pytest.fixture
def measure(home, tmp_path, monkeypatch):
    """Run the stage on a copy of the run that may be changed."""
    out, metrics = map(Path, (home / "job").read_text().splitlines())
    shutil.copytree(out, tmp_path / "run")
    flags = {"prompts": home / "prompts", "base": home / "policy", "policies": tmp_path / "run/policy"}
    flags |= {"tokenlog": tmp_path / "run/tokenlog", "vocab": home / "vocab", "out": tmp_path / "out"}
    words = [word for flag, path in flags.items() for word in (f"--{flag}", str(path))]

    def go(**changes):
        params = json.loads((home / "params.json").read_text())
        params = {name: section | changes.get(name, {}) for name, section in params.items()}
        (tmp_path / "params.yaml").write_text(json.dumps(params))
        monkeypatch.setenv("SNAKEDVC_PARAMS", str(tmp_path / "params.yaml"))
        run_gradients.main([*words, "--stage", "train@method-1"])
        return tmp_path, metrics

    return go


def test_the_gradient_of_a_batch_is_the_trainers(measure):
    root, metrics = measure()
    for step in (1, 3):
        dots = read_table(root / "out", "token_gradients", step=step)["dot"].to_numpy()
        (norms,) = read_table(metrics, "metrics", step=step)["grad_norm"].to_pylist()
        assert np.sqrt(dots.mean()) == pytest.approx(norms[0], rel=1e-4)
        table = read_table(root / "out", "gradients", step=step)
        assert set(table["run"].to_pylist()) == {"method"}
        found = {(row["subset"], row["denominator"]): row for row in table.to_pylist()}
        assert sum(found[f"decile{d}", "all"]["proj_ratio"] for d in range(10)) == pytest.approx(1, abs=1e-4)
        # The sweep over layers is the base policy's.
        assert not [name for name, _ in found if name.startswith("anchors_l")]
        assert found["anchors", "all"]["layer"] == 1
    with pytest.raises(UserError, match="no rows of table gradients at step 2"):
        read_table(root / "out", "gradients", step=2)


def test_a_cleared_policy_is_named_with_its_stage(measure, tmp_path):
    shutil.rmtree(tmp_path / "run/policy/step=00002")
    with pytest.raises(UserError, match=r"step=00002: the policy .* step 3 .* cleared.*stage train@method-1 brings"):
        measure()
    assert measure(run_gradients={"steps": [1]})


def test_a_layer_that_the_run_did_not_log_is_named(measure):
    with pytest.raises(UserError, match=r"no rows of layer 0, only of 1; add it to train.token_log.layers"):
        measure(gradients={"deciles": {"layer": 0}})


def test_prompts_that_are_not_the_runs_are_refused(home):
    out = Path((home / "job").read_text().splitlines()[0])
    with pytest.raises(UserError, match="tokens there and 0 now; run the train stage again"):
        Logged(out / "tokenlog", 1, {})
