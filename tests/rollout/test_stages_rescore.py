"""The stages rescore and rescore_base as a user runs them: the same responses under other policies."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from kit.files import tree
from kit.policy import write_boxes
from kit.stages import BASE, PARAMS, run_rollouts, write_params
from kit.tables import sums, write_questions

from tokenspectrum.errors import UserError
from tokenspectrum.policy.load import load_policy
from tokenspectrum.rollout import measure
from tokenspectrum.rollout.measure import measure_responses
from tokenspectrum.rollout.probed import Probed
from tokenspectrum.stages import rescore, rescore_base, tokens
from tokenspectrum.tokenlog.reader import read_table


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A base policy with its scored probe, another one, and a run: step 2 is the base policy, step 10 the other."""
    root = tmp_path_factory.mktemp("home")
    for folder, seed in (("policy", 0), (f"policies/{BASE}", 0), ("policies/99", 1)):
        write_boxes(root / folder, seed=seed)
    write_boxes(root / "run/step=00002")
    write_boxes(root / "run/step=00010", seed=1)
    write_questions(root / "prompts", {"train": sums(6)})
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SNAKEDVC_LOG_DIR", raising=False)
        patch.setenv("SNAKEDVC_PARAMS", str(write_params(root / "params.yaml")))
        run_rollouts(root, root / "rollouts")
        flags = {name: root / name for name in ("rollouts", "policy", "attention")} | {"out": root / "tokens"}
        tokens.main([word for flag, path in flags.items() for word in (f"--{flag}", str(path))])
    return root


def give(tmp_path: Path, monkeypatch, **more) -> None:
    """Params with these sections beside those of the kit."""
    path = write_params(tmp_path / "params.yaml")
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    monkeypatch.setenv("SNAKEDVC_PARAMS", str(path))


def run(home: Path, tmp_path: Path, monkeypatch, **rescored) -> Path:
    monkeypatch.delenv("SNAKEDVC_LOG_DIR", raising=False)
    give(tmp_path, monkeypatch, rescore={"methods": ["full"], "steps": "kept"} | rescored)
    words = ["--rollouts", f"{home}/rollouts", "--policy", f"{home}/run", "--out", f"{tmp_path}/out"]
    rescore.main([*words, "--run", "full", "--seed", "3"])
    return tmp_path / "out"


def by_place(rows) -> np.ndarray:
    """Log-probability and entropy of every token, in order: N x 2."""
    ordered = sorted(rows, key=lambda row: (row["response_id"], row["position"]))
    return np.array([(row["logprob"], row["predictive_entropy"]) for row in ordered])


def test_the_probe_under_every_kept_policy(home, tmp_path, monkeypatch):
    out = run(home, tmp_path, monkeypatch)
    own = by_place(read_table(home / "tokens", "tokens", step=0).to_pylist())
    table = read_table(out, "rescored", step=2)
    assert {(row["run"], row["seed"], row["base"]) for row in table.to_pylist()} == {("full", 3, BASE)}
    # Step 2 is the base policy again: its numbers are those of the tokens stage.
    assert by_place(table.to_pylist()) == pytest.approx(own, abs=1e-5)
    model, _ = load_policy(home / "policies/99", device="cpu")
    responses = Probed(home / "rollouts").responses
    other = measure_responses(model, responses, layers=(1,), alignment="token", local_window=4, micro_batch=2)
    found = read_table(out, "rescored", step=10).sort_by([("response_id", "ascending"), ("position", "ascending")])
    assert found["logprob"].to_pylist() == pytest.approx(other.logprob_N.tolist(), abs=1e-5)
    assert found["predictive_entropy"].to_pylist() == pytest.approx(other.predictive_entropy_N.tolist(), abs=1e-5)
    assert np.abs(by_place(found.to_pylist()) - own).max() > 0.1


@pytest.mark.parametrize(("steps", "kept"), [([2], {2}), (["final"], {10}), ([2, "final"], {2, 10})])
def test_steps_are_chosen(home, tmp_path, monkeypatch, steps, kept):
    out = run(home, tmp_path, monkeypatch, steps=steps)
    assert set(read_table(out, "rescored")["step"].to_pylist()) == kept


def test_a_step_that_was_not_kept_is_one_line(home, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"rescore.steps: step 5 is not in .*, which has 2, 10; add it to train.keep_"):
        run(home, tmp_path, monkeypatch, steps=[5])


def test_any_base_policy_scores_the_probe_of_one(home, tmp_path, monkeypatch):
    monkeypatch.delenv("SNAKEDVC_LOG_DIR", raising=False)
    give(tmp_path, monkeypatch)
    own = by_place(read_table(home / "tokens", "tokens", step=0).to_pylist())

    def rows_of(other: int) -> list[dict]:
        words = ["--rollouts", f"{home}/rollouts", "--policy", f"{home}/policies/{other}", "--other", f"{other}"]
        rescore_base.main([*words, "--out", f"{tmp_path}/{other}"])
        rows = read_table(tmp_path / f"{other}", "rescored").to_pylist()
        assert {(row["run"], row["seed"], row["step"], row["base"]) for row in rows} == {("base", other, 0, BASE)}
        return rows

    assert by_place(rows_of(BASE)) == pytest.approx(own, abs=1e-5)
    assert np.abs(by_place(rows_of(99)) - own).max() > 0.1
    with pytest.raises(UserError, match="policies/7: no such folder; run the policy stage of base 7"):
        rows_of(7)


def test_several_processes_share_both_stages_to_the_same_bytes(home, tmp_path, monkeypatch):
    monkeypatch.delenv("SNAKEDVC_LOG_DIR", raising=False)

    def scored(processes: int) -> dict[str, str]:
        root = tmp_path / f"{processes}"
        root.mkdir()
        systems = PARAMS["systems"] | {"micro_batch": 3, "processes": processes}
        give(root, monkeypatch, rescore={"methods": ["full"], "steps": "kept"}, systems=systems)

        def noted(*args, of=predictive):
            (root / f"{stage.__name__}.{os.getpid()}").touch()
            return of(*args)

        monkeypatch.setattr(measure, "_predictive", noted)
        words = ["--rollouts", f"{home}/rollouts"]
        stage = rescore
        rescore.main([*words, "--policy", f"{home}/run", "--out", f"{root}/run", "--run", "full", "--seed", "3"])
        stage = rescore_base
        rescore_base.main([*words, "--policy", f"{home}/policies/99", "--out", f"{root}/base", "--other", "99"])
        return tree(root / "run") | tree(root / "base")

    predictive = measure._predictive
    assert scored(2) == scored(1)
    for stage, policies in ((rescore, 2), (rescore_base, 1)):
        pids = {path.suffix for path in (tmp_path / "2").glob(f"{stage.__name__}.*")}
        assert len(pids) == 2 * policies
        assert f".{os.getpid()}" not in pids
